use crate::domain::failure::Failure;
use crate::domain::message::FolderCursor;
use crate::domain::time::Timestamp;
pub struct Fetched {
    pub uid: u32,
    pub flags: Vec<String>,
    pub internal_date: Option<Timestamp>,
    pub size: u32,
    pub raw: Vec<u8>,
    pub truncated: bool,
}
pub struct Batch {
    pub messages: Vec<Fetched>,
    pub cursor: FolderCursor,
}
pub struct Folders {
    pub inbox: String,
    pub sent: Option<String>,
}
pub trait Source {
    fn folders(&mut self) -> Result<Folders, Failure>;
    fn begin(&mut self, folder: &str, known: Option<FolderCursor>) -> Result<(), Failure>;
    fn next_batch(&mut self) -> Result<Option<Batch>, Failure>;
    fn close(&mut self);
}

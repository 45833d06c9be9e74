//! API tokens, found by the hash of what their holder shows.

use super::codec::{decode, encode};
use super::record::{Index, Record, get};
use super::tables::{TOKENS, TOKENS_BY_HASH, TOKENS_BY_USER, Table};
use super::{Reader, StoreError, Work};
use crate::domain::user::Token;

impl Record for Token {
    const TABLE: Table = TOKENS;
    const INDEXES: &'static [Index] = &[Index::by("user.id", TOKENS_BY_USER)];
    const COUNTER: &'static str = "tokens";

    fn id(&self) -> u64 {
        self.id
    }
}

pub fn token_by_hash(reader: &impl Reader, hash: &[u8; 32]) -> Result<Option<Token>, StoreError> {
    match reader.with(TOKENS_BY_HASH, hash, decode::<u64>)?.transpose()? {
        Some(id) => get(reader, id),
        None => Ok(None),
    }
}

impl Work<'_> {
    /// Adds a token; the id of `token` is ignored.
    pub fn create_token(&mut self, mut token: Token) -> Result<Token, StoreError> {
        token.id = self.next_id(Token::COUNTER)?;
        self.put_record(None, &token)?;
        self.put(TOKENS_BY_HASH, &token.hash, &encode(&token.id)?)?;
        Ok(token)
    }

    /// Removes a token: it stops working with this commit.
    pub fn delete_token(&mut self, token: &Token) -> Result<(), StoreError> {
        self.remove_record(token)?;
        self.remove(TOKENS_BY_HASH, &token.hash)
    }
}

use futures_util::FutureExt;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a future; a panic inside becomes `Err` with its text, so that one bad item never takes the process down.
/// What the future shared with others must be able to bear being left half done.
pub async fn contain<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| text(&*panic))
}

/// The same for a blocking call.
pub fn contain_blocking<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text(&*panic))
}

/// The same for a call that may need a deep stack: on a thread of its own, with a stack of so many octets.
pub fn contain_deep<T: Send>(stack: usize, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("deep".into()).stack_size(stack);
        let thread = thread.spawn_scoped(scope, work).map_err(|error| error.to_string())?;
        thread.join().map_err(|panic| text(&*panic))
    })
}

fn text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_text() {
        assert_eq!(contain(async { panic!("boom {}", 1) }).await, Err::<(), _>("boom 1".into()));
        assert_eq!(contain_blocking(|| 5), Ok(5));
        assert_eq!(contain_deep(1 << 20, || 5), Ok(5));
        assert_eq!(contain_deep(1 << 20, || panic!("boom")), Err::<(), _>("boom".into()));
    }
}

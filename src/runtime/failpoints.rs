//! Named places at which a test can stop an instance as abruptly as a crash would.

use std::future::Future;
use std::pin::Pin;

/// What happens at a named place; nothing, unless a test says otherwise.
pub trait Failpoints: Send + Sync {
    /// Called on the way past `name`. To stop the instance there, the answer never comes: whoever waits for it does
    /// nothing more, and the test ends the instance.
    fn pass(&self, name: &'static str) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Nothing ever happens.
pub struct NoFailpoints;

impl Failpoints for NoFailpoints {
    fn pass(&self, _: &'static str) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// The names, in the order in which a mailing comes past them.
pub const FAILPOINTS: &[&str] = &[
    "start.before_commit",
    "start.after_commit",
    "body.sent",
    "data.after_commit",
    "dot.sent",
    "reply.read",
    "settle.before_commit",
    "settle.after_commit",
    "recover.before_commit",
    "recover.after_commit",
    "doubt.before_ask",
    "doubt.before_commit",
    "doubt.after_commit",
    "copy.before_commit",
    "copy.before_append",
    "copy.after_append",
    "copy.after_commit",
];

//! When mailboxes are synced, and when not: the engine alone, on a clock that the test moves.

mod activity;
mod changes;
mod fleet;
mod refusals;
mod retention;
mod rig;
mod watching;

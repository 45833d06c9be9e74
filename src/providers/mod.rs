//! What is known about mail providers, as data: where their servers are, what they limit, what their refusals mean.
//!
//! [`presets`] finds a provider by `emailProvider`, by the domain of an address or by the name of a server, and says where
//! its servers are. [`texts`] recognises a provider's own words in a [`Failure`](crate::domain::failure::Failure) and
//! puts a better kind and an advice in the place of the general ones; [`hint`] reads from them when to come back.
//!
//! Promises: no network, no state, nothing that varies between two runs. Uses `domain` only.

pub mod hint;
pub mod presets;
pub mod texts;

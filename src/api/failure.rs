//! Errors of the rooms below as answers: one place decides what a client may learn of each.

use crate::domain::problem::{Place, Problem};
use crate::domain::resource::Resource;
use crate::jsonapi::ApiError;
use crate::store::StoreError;
use std::time::Duration;

/// How a unit of work of the API ends when it does not succeed.
#[derive(Debug)]
pub enum Refusal {
    Store(StoreError),
    /// The request cannot be carried out as it is.
    Problems(Vec<Problem>),
    NotFound(&'static Resource, u64),
    Conflict(String),
    Forbidden(String),
    /// An answer of its own.
    Api(ApiError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problems(vec![problem])
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Store(error) => error.into(),
            Refusal::Problems(problems) => Self::unless_valid(problems)
                .err()
                .unwrap_or_else(|| Self::invalid(Problem { place: Place::Document, ..Problem::attribute("", "") })),
            Refusal::NotFound(resource, id) => Self::not_found(resource, id),
            Refusal::Conflict(detail) => Self::conflict(detail),
            Refusal::Forbidden(detail) => Self::forbidden(detail),
            Refusal::Api(error) => error,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::busy(Duration::from_secs(1)),
            StoreError::Full(_) => Self::out_of_storage(),
            StoreError::Stopped(_) => {
                tracing::error!(%error, "a request met a stopped store");
                Self::maintenance(Duration::from_secs(10))
            }
            _ => {
                tracing::error!(%error, "a request failed in the store");
                Self::internal()
            }
        }
    }
}

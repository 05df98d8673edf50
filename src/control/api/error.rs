//! How the API says no.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::wire::api::Refusal;

/// A refusal with its status code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What the client is told by number.
    pub code: StatusCode,
    /// What it is told in words.
    pub refusal: Refusal,
}

impl Refused {
    /// A refusal without advice.
    pub fn new(code: StatusCode, error: impl Into<String>) -> Refused {
        let refusal = Refusal { error: error.into(), hint: None };
        Refused { code, refusal }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Refused {
        self.refusal.hint = Some(hint.into());
        self
    }

    /// Something that should have worked did not.
    pub fn failed(error: impl Into<String>) -> Refused {
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.code, Json(self.refusal)).into_response()
    }
}

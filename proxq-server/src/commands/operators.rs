//! The admin API as an operator's program uses it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use proxq_protocol::{ErrorBody, ErrorCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::error::CommandError;
use super::place;
use super::printable::printable;
use crate::cli::{AtOperators, Options};

/// How long an answer may take. A count of many jobs takes seconds, all else less.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The longest answer: a page of jobs whose paths and errors are as long as they may be.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// What is asked.
const EXPECTED: &str = "where proxq listens for operators";

/// A server's listener for operators.
#[derive(Debug)]
pub(super) struct Operators {
    connection: Connection,
    authorization: Option<HeaderValue>,
}

impl Operators {
    pub(super) fn find(at: &AtOperators, options: &Options) -> Result<Self, CommandError> {
        let (connection, authorization) = place::of_operators(at, options)?;
        Ok(Self { connection, authorization })
    }

    /// Asks for something below `/api/v1/`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Gives an order.
    pub(super) async fn order<T: DeserializeOwned>(
        &self,
        path: &str,
        order: &impl Serialize,
    ) -> Result<T, CommandError> {
        let order = serde_json::to_vec(order).expect("an order has only texts and numbers");
        self.ask(Method::POST, path, order.into()).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, CommandError> {
        let mut request = Request::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
        *request.method_mut() = method;
        let headers = request.headers_mut();
        // Orders need it, and a listener for clients refuses a request that has it, where it would make a job of any other.
        headers.insert(header::ADMIN, HeaderValue::from_static("1"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let exchange = async {
            let response = self.connection.send(&format!("/api/v1/{path}"), request, None).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok::<_, CommandError>((head.status, body.map_err(|error| self.connection.broken(error))?.to_bytes()))
        };
        let answer = tokio::time::timeout(ANSWER_LIMIT, exchange).await;
        let (status, body) = answer.map_err(|_| self.connection.too_late(ANSWER_LIMIT))??;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| self.stranger(format!("{status}, which has {error}")));
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(error) => Err(self.refused(status, &error)),
            Err(_) => Err(self.stranger(status.to_string())),
        }
    }

    fn refused(&self, status: StatusCode, error: &ErrorBody) -> CommandError {
        if error.code == ErrorCode::BadHeader {
            // That is the header above.
            return self.stranger("as where clients connect; see --admin-url".to_owned());
        }
        let mut detail = printable(&error.detail).into_owned();
        if error.code == ErrorCode::Unauthorized {
            detail.push_str("; give the token by PROXQ_ADMIN_TOKEN or --admin-token-file");
        }
        CommandError::Refused { origin: self.connection.origin().to_string(), status, code: error.code, detail }
    }

    fn stranger(&self, what: String) -> CommandError {
        CommandError::Stranger { origin: self.connection.origin().to_string(), expected: EXPECTED, what }
    }
}

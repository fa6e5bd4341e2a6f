//! proxq's own failures as the SDK's errors, and back.

use async_openai::error::OpenAIError;
use proxq_client::Error;

use crate::unconnected::cause_of;

/// What went wrong in proxq, or on the way to it; `None` for errors of OpenAI, of the SDK and of connections to proxq.
///
/// It is in an [`OpenAIError::Boxed`]; an upstream that could not be connected to is an [`OpenAIError::Reqwest`] for which
/// `is_connect` holds, as it is without proxq, with the failed job among its causes.
///
/// ```
/// use proxq_openai::async_openai::error::OpenAIError;
/// use proxq_openai::{proxq_client, proxq_error};
///
/// fn report(error: &OpenAIError) {
///     match proxq_error(error) {
///         Some(proxq_client::Error::JobFailed { id, error, .. }) => eprintln!("job {id} got no answer: {error}"),
///         Some(failure) => eprintln!("proxq: {failure}"),
///         None => eprintln!("OpenAI: {error}"),
///     }
/// }
/// ```
#[must_use]
pub fn proxq_error(error: &OpenAIError) -> Option<&Error> {
    match error {
        OpenAIError::Boxed(inner) => inner.downcast_ref(),
        OpenAIError::Reqwest(error) => cause_of(error),
        OpenAIError::ApiError(_)
        | OpenAIError::JSONDeserialize(..)
        | OpenAIError::FileSaveError(_)
        | OpenAIError::FileReadError(_)
        | OpenAIError::StreamError(_)
        | OpenAIError::InvalidArgument(_) => None,
    }
}

/// As the SDK carries it.
pub(crate) fn from_proxq(failure: Error) -> OpenAIError {
    OpenAIError::Boxed(Box::new(failure))
}

#[cfg(test)]
mod tests {
    use proxq_client::JobId;

    use super::*;

    #[test]
    fn a_failure_of_proxq_is_found_again() {
        let id = JobId::new();
        let error = from_proxq(Error::JobLost { id });
        assert_eq!(proxq_error(&error).and_then(Error::job_id), Some(id));
        assert_eq!(error.to_string(), Error::JobLost { id }.to_string());
    }

    #[test]
    fn other_errors_are_none_of_proxqs() {
        assert!(proxq_error(&OpenAIError::InvalidArgument("x".to_owned())).is_none());
        assert!(proxq_error(&OpenAIError::Boxed("another layer's".into())).is_none());
    }
}

//! `proxq jobs`.

use proxq_protocol::{ErrorCode, JobId};
use serde::Serialize;

use super::bulk::bulk;
use super::error::{CommandError, End};
use super::listing::list;
use super::operators::Operators;
use super::printable::{printable, printable_json};
use super::showing::shown;
use super::terminal::{complain, print};
use super::waiting::wait;
use crate::admin::model::{BulkAction, Done, JobDetail, RetryOrder};
use crate::cli::{Cancel, JobsCommand, Options, Retry, Show};

/// An order that says nothing but its path.
#[derive(Serialize)]
struct NoOrder {}

pub(super) async fn jobs(command: &JobsCommand, options: &Options) -> Result<End, CommandError> {
    match command {
        JobsCommand::List(flags) => list(&Operators::find(&flags.at, options)?, flags).await,
        JobsCommand::Show(flags) => show(&Operators::find(&flags.at, options)?, flags).await,
        JobsCommand::Wait(flags) => wait(&Operators::find(&flags.at, options)?, flags).await,
        JobsCommand::Retry(Retry { ordered, may_duplicate, at }) => {
            let (operators, order) = (Operators::find(at, options)?, RetryOrder { may_duplicate: *may_duplicate });
            if ordered.all {
                return bulk(&operators, BulkAction::Retry, *may_duplicate, ordered).await;
            }
            act(&operators, &ordered.ids, "retry", &order).await
        }
        JobsCommand::Cancel(Cancel { ordered, at }) => {
            let operators = Operators::find(at, options)?;
            if ordered.all {
                return bulk(&operators, BulkAction::Cancel, false, ordered).await;
            }
            act(&operators, &ordered.ids, "cancel", &NoOrder {}).await
        }
    }
}

async fn show(operators: &Operators, flags: &Show) -> Result<End, CommandError> {
    let detail: JobDetail = match operators.get(&format!("jobs/{}", flags.id)).await {
        Err(error) if error.is_not_found() => return Ok(unknown(&error)),
        found => found?,
    };
    if flags.json {
        let json = serde_json::to_string_pretty(&detail).expect("it was read from JSON");
        // Its line breaks are none of a text's.
        let lines: Vec<_> = json.lines().map(printable_json).collect();
        print(&format!("{}\n", lines.join("\n")))?;
    } else {
        print(&shown(&detail))?;
    }
    Ok(End::Done)
}

/// Gives an order for each job, whatever becomes of those before it.
async fn act(operators: &Operators, ids: &[JobId], verb: &str, order: &impl Serialize) -> Result<End, CommandError> {
    let mut worst = End::Done;
    for id in ids {
        match operators.order::<Done>(&format!("jobs/{id}/{verb}"), order).await {
            Ok(done) => print(&format!("{id} {}\n", printable(&done.status)))?,
            Err(error) if error.is_not_found() => worst = worst.max(unknown(&error)),
            Err(CommandError::Refused { code, detail, .. }) if is_of_the_job(code) => {
                complain(&format!("job {id}: {detail}"));
                worst = worst.max(End::Refused);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(worst)
}

/// Whether a refusal says nothing of other jobs.
fn is_of_the_job(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NotFailed | ErrorCode::MayDuplicate | ErrorCode::Corrupt)
}

fn unknown(error: &CommandError) -> End {
    complain(&error.to_string());
    End::NoSuchJob
}

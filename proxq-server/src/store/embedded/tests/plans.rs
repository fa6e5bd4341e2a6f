//! No query that is asked often reads more than it gives.

use super::super::{reader, steps};
use super::*;
use crate::job::State;
use crate::store::contract::submitted;

#[tokio::test]
async fn every_query_has_its_index() {
    let embedded = embedded().await;
    submitted(&embedded.store).await;
    let mut queries = vec![
        (steps::OLDEST_PENDING.to_owned(), "pending"),
        (steps::OLDEST_WAITING.to_owned(), "waiting"),
        (steps::OLDEST_PUT_ASIDE.to_owned(), "pending"),
        (steps::FIRST_PENDING.to_owned(), "pending"),
        (steps::FIRST_WAITING.to_owned(), "waiting"),
        (steps::FIRST_FILED.to_owned(), "filed"),
        (steps::NEXT_CREDENTIAL.to_owned(), "filed"),
        (steps::WAITED.to_owned(), "pending"),
        (steps::NEXT_DUE.to_owned(), "waiting"),
        (steps::DUE.to_owned(), "waiting"),
        (steps::LOST.to_owned(), "leased"),
        (steps::LEFT_OVER.to_owned(), "leased"),
        (steps::EXPIRED.to_owned(), "expiring"),
        (steps::GIVEN_UP.to_owned(), "given_up"),
        (steps::SAME_CALL.to_owned(), "calls_by_key"),
        (steps::OVERDUE.to_owned(), "ending"),
        (reader::JOB.to_owned(), "sqlite_autoindex_jobs_1"),
        (reader::CONTENT.to_owned(), "sqlite_autoindex_jobs_1"),
    ];
    queries.extend(
        reader::COUNTS
            .into_iter()
            .zip(["pending", "waiting", "leased", "ended"])
            .map(|(query, index)| (query.to_owned(), index)),
    );
    queries.extend(State::ALL.into_iter().map(|state| {
        let index = match state {
            State::Pending => "pending",
            State::Scheduled | State::Retry => "waiting",
            State::Active => "leased",
            State::Completed | State::Archived => "ended",
        };
        (reader::page_sql(state), index)
    }));
    for (query, index) in queries {
        let plan = plan_of(&embedded.store, &query).await;
        assert!(plan[0].contains(&format!("INDEX {index}")), "{query}\n{plan:?}");
    }
}

#[tokio::test]
async fn a_lease_takes_pending_jobs_in_the_order_of_the_index() {
    let embedded = embedded().await;
    for query in [steps::OLDEST_PENDING, steps::WAITED, steps::FIRST_PENDING, steps::FIRST_FILED] {
        let plan = plan_of(&embedded.store, query).await;
        assert_eq!(plan.len(), 1, "without sorting them: {query}\n{plan:?}");
    }
}

/// How a query is carried out, step by step.
async fn plan_of(store: &EmbeddedStore, query: &str) -> Vec<String> {
    let explained = format!("EXPLAIN QUERY PLAN {query}");
    let read = store.readers.read(move |connection| {
        let mut plan = connection.prepare(&explained)?;
        let parameters = vec![rusqlite::types::Null; plan.parameter_count()];
        Ok(plan.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))?.collect::<Result<_, _>>()?)
    });
    read.await.unwrap()
}

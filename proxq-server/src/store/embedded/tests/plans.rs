//! No query that is asked often reads more than it gives.

use super::super::{listing, reader, steps, submitted, tally};
use super::*;
use crate::job::State;
use crate::store::JobOrder;
use crate::store::contract;

#[tokio::test]
async fn every_query_has_its_index() {
    let embedded = embedded().await;
    contract::submitted(&embedded.store).await;
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
        (reader::OWNER.to_owned(), "sqlite_autoindex_jobs_1"),
        (reader::OLDEST.to_owned(), "pending"),
        (submitted::SUBMITTED.to_owned(), "sqlite_autoindex_jobs_1"),
        (reader::CONTENT.to_owned(), "sqlite_autoindex_jobs_1"),
    ];
    queries.extend(
        tally::COUNTS
            .into_iter()
            .zip(["pending", "waiting_by_number", "leased", "ended"])
            .map(|(query, index)| (query.to_owned(), index)),
    );
    for order in JobOrder::ALL {
        queries.push((listing::pending_sql(order), "pending"));
        queries.push((listing::edge_sql(order), "pending"));
        queries.extend(LISTED_BY_NUMBER.map(|(state, index)| (listing::by_number_sql(state, order), index)));
    }
    for (query, index) in queries {
        let plan = plan_of(&embedded.store, &query).await;
        assert!(plan[0].contains(&format!("INDEX {index}")), "{query}\n{plan:?}");
    }
}

/// The states whose jobs are listed by their numbers, and the index for that.
const LISTED_BY_NUMBER: [(State, &str); 5] = [
    (State::Scheduled, "waiting_by_number"),
    (State::Retry, "waiting_by_number"),
    (State::Active, "leased"),
    (State::Completed, "ended"),
    (State::Archived, "ended"),
];

#[tokio::test]
async fn a_page_is_read_in_the_order_of_its_index() {
    let embedded = embedded().await;
    let few = |state| state == State::Active; // as many as attempts run
    for order in JobOrder::ALL {
        let mut queries = vec![listing::pending_sql(order)];
        let by_number = LISTED_BY_NUMBER.into_iter().filter(|(state, _)| !few(*state));
        queries.extend(by_number.map(|(state, _)| listing::by_number_sql(state, order)));
        for query in queries {
            let plan = plan_of(&embedded.store, &query).await;
            assert_eq!(plan.len(), 1, "without sorting all others: {query}\n{plan:?}");
            let begins_at = if query.contains("filed") { "(filed,priority,due" } else { "rowid" };
            assert!(plan[0].contains(begins_at), "from the cursor on: {query}\n{plan:?}");
        }
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

//! Pages that stay up to date.

use harness::{Events, Store, Upstream, get, on_every_store, within};

use super::{plain, start};

on_every_store! {
    async fn a_page_that_is_open_shows_what_happens(store: Store) {
        let upstream = Upstream::start().await;
        let (proxq, operators) = start(store, &upstream).await;
        let mut events = Events::at(&operators, "/live?page=%2Fjobs").await;
        let first = within("the page as it is", events.next()).await.unwrap();
        assert!(first.contains("There are no jobs"), "{first:?}");
        let job = proxq.submit(plain()).await;
        proxq.settled(&job).await;
        let id = job.id.to_string();
        loop {
            let next = within("the page with the job", events.next()).await.expect("the stream goes on");
            if next.contains(&id) && next.contains("completed") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn only_pages_are_kept_up_to_date() {
    let upstream = Upstream::start().await;
    let (_proxq, operators) = start(Store::Embedded, &upstream).await;
    for query in
        ["", "?page=", "?page=%2Fmetrics", "?page=%2Fapi%2Fv1%2Fjobs", "?page=http%3A%2F%2Fevil%2F%20x", "?other=1"]
    {
        operators.send(get(&format!("/live{query}"))).await.refused(400, "BAD_QUERY");
    }
    operators.send(get("/live?page=%2Fnowhere")).await.refused(404, "NOT_FOUND");
}

//! A copy of a stopped store is a backup, made and looked over by the commands of the page.

use harness::{Document, Proxq, Upstream, post};

use super::shell;

#[test]
fn a_copy_of_a_stopped_store_is_whole() {
    harness::run(async {
        let upstream = Upstream::start().await;
        let mut proxq = Proxq::without_file(&upstream.url()).await;
        proxq.submit(post("/x").body(vec![b'x'; 1 << 20])).await;
        proxq.stop().await;
        let page = Document::named("docs/operations.md");
        let script = page.blocks_below("The embedded store", "sh")[0].text.replace("proxq-data ", "data ");
        let (code, output) = shell(proxq.folder(), format!("set -e\n{script}")).await;
        assert_eq!(code, 0, "{output}");
        assert!(output.contains("every record and every body is as it was written"), "{output}");
    });
}

//! What commands show on a terminal.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use harness::{Answer, Gate, Store, binary, eventually, on_the_store};

use super::Bench;

/// A command on a terminal of its own, which util-linux's `script` makes.
struct Terminal {
    script: Child,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(bench: &Bench, command: &str) -> Self {
        let line = format!("stty cols 100 rows 20; exec '{}' {command}", binary().display());
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(bench.folder());
        script.env("PROXQ_ADMIN_URL", bench.operators.url()).env("PROXQ_URL", bench.proxq.url());
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script is installed");
        let (seen, mut shown) = (Arc::<Mutex<String>>::default(), script.stdout.take().unwrap());
        let keeps = Arc::clone(&seen);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = shown.read(&mut piece) {
                keeps.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        Self { script, seen }
    }

    fn text(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    async fn shows(&self, text: &str) {
        eventually(&format!("the terminal shows {text:?}"), async || self.text().contains(text)).await;
    }

    fn types(&mut self, keys: &str) {
        self.script.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end; gives the exit code and all that was shown.
    async fn ended(mut self) -> (Option<i32>, String) {
        let mut code = None;
        eventually("the command ends", async || {
            code = self.script.try_wait().unwrap();
            code.is_some()
        })
        .await;
        let text = self.text();
        (code.and_then(|status| status.code()), text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

const CTRL_C: &str = "\u{3}";

on_the_store! {
    Embedded:

    async fn progress_is_shown_and_taken_away_again(store: Store) {
        let bench = Bench::start(store).await;
        let gate = Gate::new();
        bench.upstream.once(Answer::status(200).wait(&gate).body("the response"));
        let terminal = Terminal::start(&bench, "submit /x");
        terminal.shows(": running, ").await;
        gate.open();
        terminal.shows("the response").await;
        let (code, text) = terminal.ended().await;
        let last = text.rsplit('\r').find(|part| part.contains("the response")).unwrap_or_default();
        assert_eq!((code, last), (Some(0), "\u{1b}[Kthe response"), "{text}");
    }

    async fn ctrl_c_cancels_a_job_where_that_was_asked_for(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.once(Answer::nothing().hang());
        let mut terminal = Terminal::start(&bench, "submit /x --cancel-on-interrupt");
        terminal.shows(": running, ").await;
        let job = bench.upstream.request().await.job_id().expect("it is a job");
        terminal.types(CTRL_C);
        let (code, text) = terminal.ended().await;
        assert_eq!(code, Some(130), "{text}");
        assert!(text.contains(&format!("job {job} is cancelled")), "{text}");
        bench.run(&["jobs", "show", &job.to_string()], 4).await;
    }

    async fn an_order_for_many_jobs_is_confirmed_at_the_terminal(store: Store) {
        let bench = Bench::start(store).await;
        let job = bench.failed("/dead/x").await;
        let mut terminal = Terminal::start(&bench, "jobs retry --all");
        terminal.shows("This will retry 1 job. Go on? [y/N]").await;
        terminal.types("n\n");
        let (code, text) = terminal.ended().await;
        assert!(code == Some(1) && text.contains("Nothing was done."), "{text}");
        assert_eq!(bench.proxq.status(&job).await.attempts, Some(1));
        let mut terminal = Terminal::start(&bench, "jobs retry --all");
        terminal.shows("Go on?").await;
        terminal.types("y\n");
        let (code, text) = terminal.ended().await;
        assert!(code == Some(0) && text.contains("done: 1 done, 0 skipped"), "{text}");
    }

    async fn the_view_is_kept_up_to_date_and_the_screen_given_back(store: Store) {
        let mut bench = Bench::start(store).await;
        let mut terminal = Terminal::start(&bench, "top --interval 200ms");
        terminal.shows("\u{1b}[?1049h").await;
        terminal.shows(" 0 failed, ").await;
        bench.failed("/dead/x").await;
        terminal.shows(" 1 failed, ").await;
        bench.proxq.stop().await;
        terminal.shows("NO ANSWER: connect to http://").await;
        terminal.types(CTRL_C);
        let (code, text) = terminal.ended().await;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.trim_end().ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{text:?}");
    }
}

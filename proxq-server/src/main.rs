//! The binary `proxq`: flags → config → telemetry → bind → run → exit code.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use futures_util::Stream;
use proxq_server::program::{
    self, Command, CommandError, End, Loaded, Options, OwnCertificate, ReloadRequests, TokenCommand,
};
use proxq_server::{Config, Server, StopRequests};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Gives memory back to the system after a burst of large bodies, and takes less time than glibc's allocator, which keeps most
/// of it for good. musl has no support for the threads that do so.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// For how long jemalloc keeps memory that is free. By default it is 10 s, in which a burst takes a quarter more.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_env = "gnu"))]
const FREE_MEMORY_TERM_MS: isize = 1000;

/// A mistake in the flags or the configuration.
const EXIT_CONFIG: u8 = 2;
/// A failure at run time.
const EXIT_FAILURE: u8 = 1;
/// A job ended without a response.
const EXIT_JOB_FAILED: u8 = 3;
/// There is no such job.
const EXIT_NO_SUCH_JOB: u8 = 4;
/// The upstream's response is an error; the code of `curl --fail`.
const EXIT_ERROR_STATUS: u8 = 22;
/// The time that the user gives is over; the code of `curl --max-time`.
const EXIT_TIME_OVER: u8 = 28;
/// The user ended the command; the code of shells for SIGINT.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    #[cfg(all(feature = "jemalloc", target_os = "linux", target_env = "gnu"))]
    give_free_memory_back();
    let (command, options) = program::parse().into_parts();
    let ended = match command {
        Command::Check { from_go, store, .. } => check(&options, from_go, store),
        Command::Healthcheck { own, .. } => is_healthy(&options, &own),
        Command::Submit(flags) => Ok(remote(program::submit(&flags, &options))),
        Command::Jobs(command) => Ok(remote(program::jobs(&command, &options))),
        Command::Top(flags) => Ok(remote(program::top(&flags, &options))),
        Command::Token(TokenCommand::New { json }) => {
            print(&program::new_token(json));
            Ok(ExitCode::SUCCESS)
        }
        Command::Schema => {
            print(&program::schema());
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            print(&String::from_utf8_lossy(&program::completions(shell)));
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve { .. } => match program::runtime() {
            Ok(runtime) => serve(runtime, options),
            Err(error) => return no_threads(&error),
        },
    };
    ended.unwrap_or_else(|mistake| {
        complain(&mistake);
        ExitCode::from(EXIT_CONFIG)
    })
}

/// Has jemalloc give free memory back after its term: that of this thread's arena, and of all arenas that are made later.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_env = "gnu"))]
fn give_free_memory_back() {
    use tikv_jemalloc_ctl::{Access, AsName};

    for setting in ["arena.0.dirty_decay_ms\0", "arenas.dirty_decay_ms\0"] {
        let set = setting.name().write(FREE_MEMORY_TERM_MS);
        debug_assert!(set.is_ok(), "{setting}: {set:?}");
    }
}

fn no_threads(error: &std::io::Error) -> ExitCode {
    complain(&format_args!("start threads: {error}"));
    ExitCode::from(EXIT_FAILURE)
}

/// Fails with mistakes in the configuration.
fn check(options: &Options, from_go: bool, store: bool) -> Result<ExitCode, Box<dyn Error>> {
    let loaded = program::read_config_to_check(options)?;
    print(&program::report(&loaded));
    if from_go {
        print(&program::differences_report(&loaded));
    }
    Ok(if store { check_store(&loaded) } else { ExitCode::SUCCESS })
}

/// Fails with mistakes in the configuration.
fn is_healthy(options: &Options, own: &OwnCertificate) -> Result<ExitCode, Box<dyn Error>> {
    let loaded = program::read_config_to_ask(options)?;
    Ok(match program::healthcheck(&loaded.config, own) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&program::chain(&error));
            ExitCode::from(EXIT_FAILURE)
        }
    })
}

fn check_store(loaded: &Loaded) -> ExitCode {
    let runtime = match program::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return no_threads(&error),
    };
    match runtime.block_on(program::check_store(&loaded.config)) {
        Ok(found) => {
            for line in &found.lines {
                print(&format_args!("{line}\n"));
            }
            if found.is_sound { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILURE) }
        }
        Err(error) => {
            complain(&program::chain(&error));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// The exit code of a command that asks a running server.
fn remote(ended: Result<End, CommandError>) -> ExitCode {
    ExitCode::from(match ended {
        Ok(End::Done) => 0,
        Ok(End::Refused) => EXIT_FAILURE,
        Ok(End::JobFailed) => EXIT_JOB_FAILED,
        Ok(End::NoSuchJob) => EXIT_NO_SUCH_JOB,
        Ok(End::ErrorStatus) => EXIT_ERROR_STATUS,
        Ok(End::TimeOver) => EXIT_TIME_OVER,
        Ok(End::Interrupted) => EXIT_INTERRUPTED,
        Err(error) => {
            complain(&format_args!("proxq: {}", program::chain(&error)));
            if error.is_usage() { EXIT_CONFIG } else { EXIT_FAILURE }
        }
    })
}

/// Fails with mistakes in flags or configuration; all else goes to the log.
fn serve(runtime: Runtime, options: Options) -> Result<ExitCode, Box<dyn Error>> {
    let (ended, log) = runtime.block_on(async {
        let reloads = ReloadRequests::new(); // before anything else: until then the signal ends the process
        let loaded = program::read_config(&options)?;
        let log = program::init_telemetry(options.log_format, &options.log_filter()).map_err(|e| program::chain(&e))?;
        let ended = match run(loaded, reloads.configs(options)).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error = program::chain(&*error), "proxq ends");
                ExitCode::from(EXIT_FAILURE)
            }
        };
        Ok::<_, Box<dyn Error>>((ended, log))
    })?;
    drop(runtime); // what is still running ends here, and may log
    drop(log);
    Ok(ended)
}

async fn run(loaded: Loaded, configs: impl Stream<Item = Config>) -> Result<(), Box<dyn Error>> {
    program::raise_file_limit();
    let store = loaded.config.store.name();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), store, why = loaded.store_reason, "starting");
    program::survive_file_size_limits();
    let mut requests = StopRequests::new();
    let server = Server::bind(loaded.config).await?;
    let [scheme, scheme_of_operators] = server.schemes();
    tracing::info!(address = %server.local_addr()?, scheme, "listening");
    if let Some(address) = server.admin_addr()? {
        tracing::info!(%address, dashboard = %format_args!("{scheme_of_operators}://{address}/"), "listening for operators");
    }
    let stop = CancellationToken::new();
    let asked_twice = async {
        requests.next().await;
        stop.cancel();
        requests.next().await;
    };
    tokio::select! {
        ended = server.run_reloading(stop.cancelled(), configs) => ended?,
        // Whoever asks a second time does not want to wait.
        () = asked_twice => {
            tracing::warn!("a second signal: ending at once");
            return Err("ended by a second signal before the drain was over".into());
        }
    }
    Ok(())
}

/// Prints to standard output. Whoever has closed it wants no more of it.
fn print(text: &dyn Display) {
    let _closed = write!(io::stdout(), "{text}");
}

/// Prints a line to standard error, if it can be written to.
fn complain(line: &dyn Display) {
    let _closed = writeln!(io::stderr(), "{line}");
}

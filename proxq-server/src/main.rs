//! The binary `proxq`: flags → config → telemetry → bind → run → exit code.

use std::error::Error;
use std::process::ExitCode;

use proxq_server::cli::{self, Command};
use proxq_server::config::{self, Loaded, StoreConfig};
use proxq_server::shutdown::StopRequests;
use proxq_server::store::embedded;
use proxq_server::{Server, process, telemetry};
use tokio_util::sync::CancellationToken;

/// A mistake in the flags or the configuration.
const EXIT_CONFIG: u8 = 2;
/// A failure at run time.
const EXIT_FAILURE: u8 = 1;

fn main() -> ExitCode {
    let cli = cli::parse();
    let loaded = match cli::read_config(&cli.options) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match cli.command() {
        Command::Check { store } => {
            print!("{}", config::report(&loaded));
            if store { check_store(&loaded) } else { ExitCode::SUCCESS }
        }
        Command::Serve => {
            if let Err(error) = telemetry::init(cli.options.log_format, &cli.options.log_filter()) {
                eprintln!("RUST_LOG cannot be read: {error}");
                return ExitCode::from(EXIT_CONFIG);
            }
            match serve(loaded) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!(error = proxq_server::chain(&*error), "proxq ends");
                    ExitCode::from(EXIT_FAILURE)
                }
            }
        }
    }
}

fn check_store(loaded: &Loaded) -> ExitCode {
    let StoreConfig::Embedded { data_dir, .. } = &loaded.config.store else {
        eprintln!("check --store is for the embedded store; jobs in Redis are checked when they are read");
        return ExitCode::from(EXIT_CONFIG);
    };
    match embedded::verify(data_dir) {
        Ok(findings) if findings.is_empty() => {
            println!("# {}: every record and every body is as it was written", data_dir.display());
            ExitCode::SUCCESS
        }
        Ok(findings) => {
            for finding in &findings {
                println!("{finding}");
            }
            ExitCode::from(EXIT_FAILURE)
        }
        Err(error) => {
            eprintln!("{}", proxq_server::chain(&error));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

fn serve(loaded: Loaded) -> Result<(), Box<dyn Error>> {
    process::raise_file_limit();
    let runtime = process::runtime()?;
    runtime.block_on(async {
        let store = loaded.config.store.name();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), store, why = loaded.store_reason, "starting");
        process::survive_file_size_limits();
        let mut requests = StopRequests::new();
        let server = Server::bind(loaded.config).await?;
        tracing::info!(address = %server.local_addr()?, "listening");
        let stop = CancellationToken::new();
        let asked_twice = async {
            requests.next().await;
            stop.cancel();
            requests.next().await;
        };
        tokio::select! {
            ended = server.run(stop.cancelled()) => ended?,
            // Whoever asks a second time does not want to wait.
            () = asked_twice => {
                tracing::warn!("a second signal: ending at once");
                return Err("ended by a second signal before the drain was over".into());
            }
        }
        Ok(())
    })
}

//! The listener for operators, at work.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::services::Services;
use super::{StartError, instance_name, listen};
use crate::admin::{Admin, Desk, Guard, Memory, Orders, remember};
use crate::config::{AdminConfig, Password};
use crate::current::Current;
use crate::intake::Submitter;
use crate::listen::{ListenSettings, Served, Surface};
use crate::shutdown::Phases;
use crate::tls::ListenerTls;
use crate::worker::AttemptContext;

/// A listener for operators that has its address, and nobody to answer yet.
#[derive(Debug)]
pub(super) struct AdminListener {
    pub(super) listener: TcpListener,
    guard: Guard,
}

impl AdminListener {
    pub(super) async fn bind(config: &AdminConfig) -> Result<Self, StartError> {
        let token =
            config.token.reveal().map_err(|source| StartError::AdminToken { file: file_of(&config.token), source })?;
        let listener = listen(&config.listen_address).await?;
        Ok(Self { listener, guard: Guard::new(config, &token) })
    }
}

fn file_of(token: &Password) -> PathBuf {
    match token {
        Password::File(file) => file.clone(),
        Password::None | Password::Given(_) => PathBuf::new(),
    }
}

/// What operators are answered from.
#[derive(Debug)]
pub(super) struct Operators {
    desks: Arc<Current<Desk>>,
}

impl Operators {
    /// Answers operators until everything else has stopped.
    pub(super) fn start(
        admin: AdminListener,
        tls: Option<Arc<ListenerTls>>,
        services: &Services,
        context: &AttemptContext,
        phases: &Phases,
    ) -> Self {
        let config = &context.config;
        let AdminListener { listener, guard } = admin;
        let desk = Desk {
            config: Arc::clone(config),
            store: Arc::clone(&services.store),
            gates: Arc::clone(&services.gates),
            metrics: Arc::clone(&services.metrics),
            submitter: submitter(services, context),
            clock: services.clock,
            memory: Arc::<Memory>::default(),
            orders: Arc::<Orders>::default(),
            instance: instance_name(),
            started_at: services.clock.wall(),
            draining: phases.stop.draining.clone(),
        };
        let desks = Arc::new(Current::new(desk));
        let (tasks, finished) = (phases.upkeep.clone(), phases.stop.finished.clone());
        let handler = Box::new(Admin::new(guard, Arc::clone(&desks), tasks.clone(), finished.clone()));
        let served = Served { settings: ListenSettings::for_operators(config), handler };
        let metrics = services.metrics.operators.clone();
        let surface = Arc::new(Surface::new(served, tls, metrics, tasks.clone(), finished.clone(), finished.clone()));
        tasks.spawn(Arc::clone(&surface).serve(listener, tasks.clone()));
        tasks.spawn(remember(Arc::clone(&desks), finished));
        Self { desks }
    }

    /// Answers by another configuration from now on.
    pub(super) fn replace(&self, services: &Services, context: &AttemptContext) {
        let desk = Desk::clone(&self.desks.get());
        let (config, submitter) = (Arc::clone(&context.config), submitter(services, context));
        self.desks.replace(Desk { config, submitter, ..desk });
    }
}

fn submitter(services: &Services, context: &AttemptContext) -> Arc<Submitter> {
    let Services { store, gates, deployment, .. } = services.clone();
    Arc::new(Submitter::new(Arc::clone(&context.config), store, gates, deployment, context.traces.clone()))
}

/// Where the listener for operators listens, if there is one.
pub(super) fn address(admin: Option<&AdminListener>) -> Option<io::Result<std::net::SocketAddr>> {
    admin.map(|admin| admin.listener.local_addr())
}

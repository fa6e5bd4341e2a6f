//! Who asks about a job, and whether it is theirs to ask about.

use http::Method;
use http::request::Parts;

use super::request::{self, JobsCall, Resource};
use super::{JobsApi, store_problem};
use crate::config::{AccessToken, AdminRole, Ownership};
use crate::credential::{nobody, owner_hash};
use crate::job::CredentialHash;
use crate::reply::Problem;
use crate::result_url;
use crate::store::Owner;

/// Who asks, as far as that matters.
#[derive(Debug)]
pub(super) enum Visitor {
    /// Somebody for whom a job's id is enough.
    Anybody,
    /// Somebody to whom only their own jobs exist, or all of them by a role.
    Someone {
        /// What they show, as a job's owner is kept.
        credential: CredentialHash,
        /// The owner of what was submitted without any credential.
        nobody: CredentialHash,
        /// What their token allows.
        role: AdminRole,
    },
}

/// By what a visitor may ask about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It is theirs, or everybody's who has its id.
    Own,
    /// By a role alone. A look at a job is then not its client's: it changes nothing for whoever waits.
    Role,
}

impl JobsApi {
    /// Lets a visitor in, who may then ask about some jobs and not about others.
    pub(super) fn let_in(&self, head: &Parts) -> Result<Visitor, Problem> {
        let auth = &self.config.auth;
        if !auth.tells_clients_apart() || request::is_open(head, &self.config.jobs_path, auth.result_urls) {
            return Ok(Visitor::Anybody);
        }
        let token = auth.token_of(&head.headers)?;
        if let Some(token) = token {
            tracing::Span::current().record("token", token.name());
        }
        if auth.owner == Ownership::Open {
            return Ok(Visitor::Anybody);
        }
        let key = self.deployment.credential_key().ok_or_else(Problem::store_not_ready)?;
        let credential = owner_hash(key, token, &head.headers);
        let role = token.map_or(AdminRole::None, AccessToken::admin);
        Ok(Visitor::Someone { credential, nobody: nobody(key), role })
    }

    /// Refuses what is not the visitor's to ask, in the same words and with the same work as if there were no such job.
    pub(super) async fn check(&self, call: &JobsCall, method: &Method, visitor: &Visitor) -> Result<Access, Problem> {
        if let Some(signed) = &call.signed {
            let Some(Ok(id)) = call.resource.job() else { return Err(Problem::url_forged()) };
            let key = self.deployment.credential_key().ok_or_else(Problem::store_not_ready)?;
            self.can_recognize()?;
            return result_url::check(key, *id, signed, self.clock.wall()).map(|()| Access::Own);
        }
        let (Visitor::Someone { credential, nobody, role }, Some(Ok(id))) = (visitor, call.resource.job()) else {
            return Ok(Access::Own);
        };
        let is_order = *method == Method::DELETE || matches!(call.resource, Resource::Retry(_));
        let needed = if is_order { AdminRole::Write } else { AdminRole::Read };
        let has_role = *role >= needed;
        // Whose a job is matters to a role at a hop alone, which its client may come to with such a token, too.
        let is_hop = matches!(call.resource, Resource::Hop(..));
        if has_role && (!is_hop || self.deployment.missing_key().is_some()) {
            return Ok(Access::Role);
        }
        self.can_recognize()?;
        let is_theirs = match self.store.owner(*id).await.map_err(|error| store_problem(*id, &error))? {
            Owner::NoJob => false,
            Owner::Unknown => true,
            // What is nobody's is for whoever has the id.
            Owner::Credential(owner) => owner == *credential || owner == *nobody,
        };
        match (is_theirs, has_role) {
            (true, _) => Ok(Access::Own),
            (false, true) => Ok(Access::Role),
            (false, false) => Err(call.resource.unknown(*id)),
        }
    }

    fn can_recognize(&self) -> Result<(), Problem> {
        self.deployment.missing_key().map_or(Ok(()), |_| Err(Problem::not_recognizable()))
    }
}

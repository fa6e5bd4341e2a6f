//! End-to-end tests of what proxq promises: the real server, a scripted upstream, plain HTTP. A file a promise.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod auth_matrix;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bypass;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod cache_flight;
#[cfg(test)]
mod cache_redis;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod client;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod content;
#[cfg(test)]
mod curl;
#[cfg(test)]
mod deadline;
#[cfg(test)]
mod delay;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod direct;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod early;
#[cfg(test)]
mod events;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod follow;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod header_table;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod healthcheck;
#[cfg(test)]
mod held;
#[cfg(test)]
mod hops;
#[cfg(test)]
mod http2_client;
#[cfg(test)]
mod http2_upstream;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod joined;
#[cfg(test)]
mod kept_connections;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod listener_tls;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod nginx;
#[cfg(test)]
mod openai;
#[cfg(test)]
mod paid_once;
#[cfg(test)]
mod priority;
#[cfg(test)]
mod process;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod redirects;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod redis_access;
#[cfg(test)]
mod redis_beside_go;
#[cfg(test)]
mod redis_doubt;
#[cfg(test)]
mod redis_lost_connection;
#[cfg(test)]
mod redis_network;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod reload_refused;
#[cfg(test)]
mod response_heads;
#[cfg(test)]
mod retry;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod sdks;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod status;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod submit;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod wait;
#[cfg(test)]
mod waiters;
#[cfg(test)]
mod websocket;
#[cfg(test)]
mod wire;

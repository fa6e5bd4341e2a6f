//! Tests of `proxq-openai`: a call of the SDK through proxq gives what it gives without proxq, and OpenAI sees the same.

mod bench;
mod errors;
mod failures;
mod groups;
mod retries;
mod scripted;
mod setups;
mod streams;

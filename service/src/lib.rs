//! What every process of backchat is made of: configuration, logs, health, metrics, the HTTP accept loop, and how it
//! starts and stops. Nothing here knows of rooms, accounts or history.

pub mod answer;
pub mod body;
pub mod bucket;
pub mod config;
pub mod connection;
pub mod counts;
pub mod database;
pub mod health;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod operations;
pub mod origin;
pub mod probe;
pub mod process;
pub mod proxies;
pub mod tls;
pub mod watched;

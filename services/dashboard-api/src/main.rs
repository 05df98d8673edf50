//! The program `dashboard-api`: the service dashboard-api-server.
//!
//! It answers the questions of the dashboard from the events database, read-only. A request passes
//! these steps, in this order (`dispatch`): is it meant for this host, may this page ask (CORS), does
//! it know the token, is there such an endpoint, may it be asked this way, are its parameters in
//! bounds. Answers that cost something are kept for half a minute (`cache`); queries run on threads of
//! their own (`pool`); how the other services are is asked in the background (`probe`), and of the
//! supervisor, if it lets this service look.

mod answer;
mod cache;
mod config;
mod cors;
mod dispatch;
mod endpoints;
mod page;
mod params;
mod pool;
mod probe;
mod service;

use std::process::ExitCode;

use service_common::supervisor::Inherited;

fn main() -> ExitCode {
    let inherited = Inherited::take();
    service_common::main(&config::ABOUT, |_flags| service::serve(inherited))
}

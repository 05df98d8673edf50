//! The command line: one file per command.
//!
//! `args` says what can be typed, `here` which dogwatch is meant, `ask` and `client` talk to the control
//! plane, `direct` to the keepers when it is dead, `screen` and `table` print.

use std::path::Path;

pub mod args;
mod ask;
pub mod check;
mod client;
mod direct;
mod doctor;
mod down;
pub mod drill;
mod engine;
pub mod fail;
mod follow;
mod here;
pub mod init;
mod logs;
mod order;
pub mod pm2;
mod printer;
mod screen;
mod show;
mod status;
mod table;
mod up;
mod upgrade;

use args::{Args, Command};
use fail::Outcome;
use here::Here;

use crate::config::{FILE_NAME, Surroundings};
use crate::exit_code;
use crate::start::Start;
use crate::wire::api::Verb;

/// What a command line came to.
#[derive(Debug)]
pub enum Done {
    /// The exit code.
    Code(u8),
    /// This process is to become the control plane.
    BecomeControl(Start),
}

/// Runs a command line and says what went wrong, once.
pub fn run(args: Args) -> Done {
    match dispatch(args) {
        Ok(done) => done,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                screen::tell(text);
            }
            Done::Code(failure.code)
        }
    }
}

fn dispatch(args: Args) -> Outcome<Done> {
    let here = match args.command {
        Command::Control(_) | Command::Rollout(_) | Command::Selfcheck => {
            Here::exactly(args.home, args.file)?
        }
        _ => Here::new(args.home, args.file)?,
    };
    if !matches!(args.command, Command::Init | Command::Check(_)) {
        here.need_access()?;
    }
    match args.command {
        Command::Init => return finished(init::init(here.cwd())),
        Command::Check(options) => {
            let path = options.path.or_else(|| here.file_as_typed());
            let path = path.unwrap_or_else(|| FILE_NAME.into());
            return finished(check::check(Path::new(&path), &Surroundings::of_this_process(), options.json));
        }
        Command::Up(options) => up::run(&here, &options)?,
        Command::Down(options) => down::run(&here, &options)?,
        Command::Start(options) => order::run(&here, Verb::Start, &options)?,
        Command::Stop(options) => order::run(&here, Verb::Stop, &options)?,
        Command::Restart(options) => order::run(&here, Verb::Restart, &options)?,
        Command::Reload(options) => order::run(&here, Verb::Reload, &options)?,
        Command::Status(options) => status::run(&here, &options)?,
        Command::Show(options) => show::run(&here, &options)?,
        Command::Logs(options) => logs::run(&here, &options)?,
        Command::Flush(options) => order::of_logs(&here, Verb::Flush, &options)?,
        Command::Reopen(options) => order::of_logs(&here, Verb::Reopen, &options)?,
        Command::Upgrade(options) => upgrade::run(&here, &options)?,
        Command::Rollout(options) => upgrade::rollout::run(&here, &options)?,
        Command::Selfcheck => upgrade::selfcheck::run(&here)?,
        Command::Doctor(options) => return Ok(Done::Code(doctor::run(&here, &options)?)),
        Command::Drill(options) => drill::run(&here, &options)?,
        Command::Control(options) => {
            let file = match options.only_down {
                true => here.file().unwrap_or_default(),
                false => here.need_file()?,
            };
            return Ok(Done::BecomeControl(Start {
                paths: here.paths,
                home: here.home,
                file,
                only: ask::names(&options.only)?,
                only_down: options.only_down,
            }));
        }
    }
    Ok(Done::Code(exit_code::OK))
}

/// Prints what a command answered in one piece.
fn finished((out, err, code): (String, String, u8)) -> Outcome<Done> {
    screen::print(&out)?;
    if !err.is_empty() {
        screen::tell(err.trim_end());
    }
    Ok(Done::Code(code))
}

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
mod down;
mod engine;
pub mod fail;
mod follow;
mod here;
pub mod init;
mod logs;
mod order;
pub mod pm2;
mod screen;
mod show;
mod status;
mod table;
mod tail;
mod up;

use args::{Args, Command};
use fail::{Failure, Outcome};
use here::Here;

use crate::config::{FILE_NAME, Surroundings};
use crate::control;
use crate::exit_code;
use crate::model::name::ServiceName;
use crate::wire::api::Verb;

/// Runs a command line and says what went wrong, once. Returns the exit code.
pub fn run(args: Args) -> u8 {
    match dispatch(args) {
        Ok(code) => code,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                screen::tell(text);
            }
            failure.code
        }
    }
}

fn dispatch(args: Args) -> Outcome<u8> {
    let here = Here::new(args.home, args.file)?;
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
        Command::Status(options) => status::run(&here, &options)?,
        Command::Show(options) => show::run(&here, &options)?,
        Command::Logs(options) => logs::run(&here, &options)?,
        Command::Flush(options) => order::flush(&here, &options)?,
        Command::Control(options) => {
            let file = match options.only_down {
                true => here.file().unwrap_or_default(),
                false => here.need_file()?,
            };
            return Ok(control::run(control::Start {
                paths: here.paths,
                home: here.home,
                file,
                only_down: options.only_down,
            }));
        }
        Command::Warden => return Ok(crate::warden::run(&here.paths)),
        Command::Keeper(options) => {
            let name = ServiceName::new(&options.name).map_err(|error| {
                Failure::new(exit_code::USAGE, format!("{:?} is not a service: {error}", options.name))
            })?;
            return Ok(crate::keeper::run(&here.paths, &name));
        }
    }
    Ok(exit_code::OK)
}

/// Prints what a command answered in one piece.
fn finished((out, err, code): (String, String, u8)) -> Outcome<u8> {
    screen::print(&out)?;
    if !err.is_empty() {
        screen::tell(err.trim_end());
    }
    Ok(code)
}

//! A service with a view of dogwatch that does with it what it is told, for the tests. Each connection to its first
//! listening socket brings one line, and gets lines back:
//!
//! ```text
//! ask            ask how the services are, again if need be; every packet that came, the last page last
//! send TEXT      send this; the packet that came, or "silence"
//! huge BYTES     the same with so many bytes
//! gift COUNT     the same with a question that has so many descriptors attached
//! flood COUNT    send so many questions, as far as the socket takes them, and read nothing; how many it took
//! inherited      the number of the view, and of every descriptor
//! ```

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use dogwatch::os::packet::Connection;
use serde_json::Value;

/// An answer comes within this time, or it is asked again, milliseconds.
const PATIENCE: u16 = 2000;
/// Who sends nonsense waits this long for words, milliseconds.
const SILENCE: u16 = 1000;
/// How often a question is asked.
const ATTEMPTS: u64 = 5;

#[expect(unsafe_code, reason = "both sockets are inherited by number")]
fn main() -> io::Result<()> {
    let number = std::env::var("DOGWATCH_STATUS_FD").expect("this service has a view");
    // SAFETY: the two variables say that these descriptors are for us, and nothing else here uses them.
    let (listener, view) = unsafe {
        let view = number.parse().expect("the variable is a number");
        (TcpListener::from_raw_fd(3), OwnedFd::from_raw_fd(view))
    };
    let view = Connection::from_owned(view);
    let mut asked = u64::from(std::process::id()) << 16;
    if let Ok(path) = std::env::var("NOTIFY_SOCKET") {
        UnixDatagram::unbound()?.send_to(b"READY=1", path)?;
    }
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let (word, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let count = || rest.parse::<u64>().expect("the word after this one is a number");
        let answer = match word {
            "ask" => ask(&view, &mut asked)?,
            "send" => exchange(&view, rest.as_bytes(), 0)?,
            "huge" => exchange(&view, &vec![b' '; count() as usize], 0)?,
            "gift" => exchange(&view, &question(0), count() as usize)?,
            "flood" => flood(&view, count()),
            "inherited" => format!("{number}\n{}", inherited()?),
            other => panic!("unknown word {other}"),
        };
        // Who has asked may have gone away.
        let _ = stream.write_all(answer.as_bytes());
    }
    Ok(())
}

fn question(id: u64) -> Vec<u8> {
    format!(r#"{{"v":1,"id":{id},"get":"services"}}"#).into_bytes()
}

fn ask(view: &Connection, asked: &mut u64) -> io::Result<String> {
    let mut came = String::new();
    for _ in 0..ATTEMPTS {
        *asked += 1;
        view.send(&question(*asked), &[])?;
        while view.wait(PATIENCE)? {
            let Some(packet) = view.receive()? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let text = String::from_utf8_lossy(&packet.bytes).into_owned();
            came += &text;
            came.push('\n');
            let page: Value = serde_json::from_str(&text)?;
            if page["id"] == *asked && page["page"] == page["pages"] {
                return Ok(came);
            }
        }
    }
    Ok(came)
}

fn exchange(view: &Connection, bytes: &[u8], gifts: usize) -> io::Result<String> {
    let gift = std::fs::File::open("/dev/null")?;
    let fds: Vec<_> = std::iter::repeat_with(|| gift.as_fd()).take(gifts).collect();
    if let Err(error) = view.send(bytes, &fds) {
        return Ok(format!("not sent: {error}\n"));
    }
    match view.wait(SILENCE)? {
        true => {
            let packet = view.receive()?.map(|packet| packet.bytes).unwrap_or_default();
            Ok(format!("{}\n", String::from_utf8_lossy(&packet)))
        }
        false => Ok("silence\n".to_owned()),
    }
}

fn flood(view: &Connection, count: u64) -> String {
    let question = question(0);
    let taken = (0..count).filter(|_| view.send(&question, &[]).is_ok()).count();
    format!("{taken}\n")
}

fn inherited() -> io::Result<String> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    let names: Vec<String> = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    Ok(names.join(" ") + "\n")
}

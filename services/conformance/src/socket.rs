//! A dashboard on the WebSocket. It speaks the protocol byte by byte, so that it can also break it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::{Answer, Service};

/// The key and its answer from the example in RFC 6455.
const KEY: (&str, &str) = ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// First bytes of frames: FIN and the opcode.
pub mod first {
    /// A whole text.
    pub const TEXT: u8 = 0x81;
    /// A text that goes on.
    pub const TEXT_BEGINS: u8 = 0x01;
    /// The end of a text.
    pub const TEXT_ENDS: u8 = 0x80;
    /// Binary.
    pub const BINARY: u8 = 0x82;
    /// The end of the connection.
    pub const CLOSE: u8 = 0x88;
    /// A ping of the protocol.
    pub const PING: u8 = 0x89;
    /// Its answer.
    pub const PONG: u8 = 0x8a;
}

/// What a server may send.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// A message.
    Text(Value),
    /// A ping, with its payload.
    Ping(Vec<u8>),
    /// The answer to a ping.
    Pong(Vec<u8>),
    /// The end, with its code and reason.
    Close(u16, String),
    /// The connection ended without a word.
    End,
}

/// A connection; pings are left to the test.
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects, or returns what was answered instead. `headers` are added to those of a handshake, or stand
    /// instead of them.
    ///
    /// # Panics
    /// When there is no answer, or one that upgrades against the protocol.
    pub fn open(server: &Service, path: &str, headers: &[(&str, &str)]) -> Result<Self, Answer> {
        let (client, answer) = Self::handshake(server, path, headers);
        if answer.status == 101 { Ok(client) } else { Err(answer) }
    }

    /// Asks for the upgrade; the answer is whole, whatever it is.
    ///
    /// # Panics
    /// When there is none, or one that upgrades against the protocol.
    pub fn handshake(server: &Service, path: &str, headers: &[(&str, &str)]) -> (Self, Answer) {
        let host = server.address().to_string();
        let usual = [
            ("Host", host.as_str()),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY.0),
        ];
        let instead = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let mut head = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in usual.iter().filter(|(name, _)| !instead(name)).chain(headers) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).expect("the handshake is sent");
        let answer = read_answer(&mut stream);
        if answer.status == 101 {
            assert_eq!(answer.header("sec-websocket-accept"), Some(KEY.1));
            assert_eq!(answer.header("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
        }
        (Self { stream }, answer)
    }

    /// Connects and reads the two first frames; returns both.
    ///
    /// # Panics
    /// When they are not those that the contract names.
    #[must_use]
    #[track_caller]
    pub fn join(server: &Service) -> (Self, Value, Value) {
        let mut client = Self::open(server, "/ws", &[]).expect("connected");
        let (hello, initial) = (client.text(), client.text());
        assert_eq!(
            (&hello["type"], &initial["type"]),
            (&"connection_established".into(), &"initial_data".into())
        );
        (client, hello, initial)
    }

    /// Sends a message.
    pub fn say(&mut self, message: &Value) {
        self.send(first::TEXT, message.to_string().as_bytes());
    }

    /// Sends one masked frame.
    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(first, payload, true);
    }

    /// Sends one frame, masked or not. Whether it still arrives is for the answer to show.
    pub fn write(&mut self, first: u8, payload: &[u8], masked: bool) {
        let mut frame = vec![first];
        let bit = if masked { 0x80 } else { 0 };
        match payload.len() {
            length @ 0..=125 => frame.push(bit | u8::try_from(length).expect("at most 125")),
            length @ 126..=0xffff => {
                frame.push(bit | 126);
                frame.extend(u16::try_from(length).expect("16 bits").to_be_bytes());
            }
            length => {
                frame.push(bit | 127);
                frame.extend(u64::try_from(length).expect("64 bits").to_be_bytes());
            }
        }
        if masked {
            frame.extend(MASK);
            frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            frame.extend(payload);
        }
        let _ = self.stream.write_all(&frame);
    }

    /// The next frame.
    ///
    /// # Panics
    /// When nothing comes, or something that a server must not send.
    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        let Some([first, length]) = self.bytes() else { return Frame::End };
        assert_eq!(length & 0x80, 0, "a server does not mask");
        let length = match length {
            126 => self.bytes().map(|bytes| u64::from(u16::from_be_bytes(bytes))),
            127 => self.bytes().map(u64::from_be_bytes),
            short => Some(u64::from(short)),
        };
        let Some(length) = length else { return Frame::End };
        let mut payload = vec![0; usize::try_from(length).expect("it fits into memory")];
        if self.stream.read_exact(&mut payload).is_err() {
            return Frame::End;
        }
        match first {
            first::TEXT => Frame::Text(serde_json::from_slice(&payload).expect("JSON")),
            first::PING => Frame::Ping(payload),
            first::PONG => Frame::Pong(payload),
            first::CLOSE => match payload.split_first_chunk() {
                Some((code, reason)) => {
                    Frame::Close(u16::from_be_bytes(*code), String::from_utf8_lossy(reason).into_owned())
                }
                None => Frame::Close(1005, String::new()),
            },
            other => panic!("a frame that begins with {other:#x}"),
        }
    }

    /// The next message. Pings are answered on the way.
    ///
    /// # Panics
    /// When the connection ends instead.
    #[track_caller]
    pub fn text(&mut self) -> Value {
        loop {
            match self.frame() {
                Frame::Text(message) => return message,
                Frame::Ping(payload) => self.send(first::PONG, &payload),
                Frame::Pong(_) => {}
                end => panic!("a message was expected: {end:?}"),
            }
        }
    }

    /// The next message of this type; numbers that are pushed in between are passed over.
    ///
    /// # Panics
    /// When another one comes.
    #[track_caller]
    pub fn of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.text();
            if message["type"] == kind {
                return message;
            }
            assert_eq!(message["type"], "metrics_update", "{kind} was expected: {message}");
        }
    }

    /// Says this; the answer is of this type.
    #[track_caller]
    pub fn ask(&mut self, message: &Value, kind: &str) -> Value {
        self.say(message);
        self.of(kind)
    }

    /// The ids of the next rows, until there are this many.
    #[track_caller]
    pub fn ids(&mut self, count: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let frame = self.of("new_events");
            ids.extend(frame["events"].as_array().expect("rows").iter().filter_map(|row| row["id"].as_i64()));
        }
        ids
    }

    /// Reads on to the end; its code, 0 if there was none.
    #[track_caller]
    pub fn closed(&mut self) -> u16 {
        loop {
            match self.frame() {
                Frame::Close(code, _) => return code,
                Frame::End => return 0,
                _ => {}
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no frame came"),
            Err(_) => None,
        }
    }
}

/// Reads one answer and leaves the connection as it is.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut answer = Answer { status: status.expect("a status line"), headers, body: Vec::new() };
    let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    answer.body = vec![0; length];
    stream.read_exact(&mut answer.body).expect("the whole body");
    answer
}

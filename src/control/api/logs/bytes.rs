//! The bytes of a present file, or a range of them (RFC 9110, 14).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::body::{Pieces, of_pieces};
use super::{Refused, Wanted};
use crate::os::file;
use crate::wire::log_line::StreamName;

/// Sent at a time, bytes.
const BLOCK: usize = 64 * 1024;

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// All of it: there is no header, or one of a kind that is not known.
    All,
    /// These bytes.
    Bytes(Range<u64>),
    /// Bytes that are not there.
    Nothing,
}

/// The file of that stream. Its ETag is another one after a rotation.
///
/// # Errors
/// 404: there is none yet; 416: the range lies behind its end.
pub async fn answer(wanted: Wanted, stream: StreamName, headers: &HeaderMap) -> Result<Response, Refused> {
    let Wanted { files, place, .. } = wanted;
    let path = files.iter().find(|(_, label)| label.stream == stream).map(|(stream, _)| stream.path());
    let path = path.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "the service has no such log"))?;
    let shown = path.display().to_string();
    let opened = tokio::task::spawn_blocking(move || {
        let file = file::open_log(&path)?;
        let about = file.metadata()?;
        Ok::<_, io::Error>((file, about))
    });
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Refused::new(StatusCode::NOT_FOUND, format!("there is no {shown} yet")),
        _ => Refused::failed(format!("cannot read {shown}: {error}")),
    };
    let (file, about) = opened.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)?;
    let (length, tag) = (about.len(), format!("\"{}\"", about.ino()));
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let same = header(IF_RANGE).is_none_or(|wanted| wanted == tag);
    let asked = header(RANGE).filter(|_| same).map_or(Asked::All, |range| parse(range, length));
    let head = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (ETAG, tag),
    ];
    let (code, range, told) = match asked {
        Asked::Nothing => {
            let whole = [(CONTENT_RANGE, format!("bytes */{length}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, head, whole, Body::empty()).into_response());
        }
        Asked::All => (StatusCode::OK, 0..length, None),
        Asked::Bytes(range) => {
            let told = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            (StatusCode::PARTIAL_CONTENT, range, Some((CONTENT_RANGE, told)))
        }
    };
    let size = [(CONTENT_LENGTH, (range.end - range.start).to_string())];
    let (pieces, body) = of_pieces(place);
    tokio::task::spawn_blocking(move || send(&file, range, &pieces));
    let mut response = (code, head, size, body).into_response();
    if let Some((name, value)) = told.and_then(|(name, value)| Some((name, value.parse().ok()?))) {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// A file that has become shorter meanwhile, and a client that has gone, end it early: the client sees that it got less
/// than it was promised.
fn send(file: &File, mut range: Range<u64>, pieces: &Pieces) {
    while range.start < range.end {
        let size = usize::try_from(range.end - range.start).unwrap_or(BLOCK).min(BLOCK);
        let mut block = vec![0; size];
        match file.read_at(&mut block, range.start) {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                block.truncate(count);
                range.start += count as u64;
                if pieces.send_now(block).is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads a `Range` header; several ranges at once are answered with the whole file, as RFC 9110 lets us.
fn parse(header: &str, length: u64) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::All;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (first.trim(), last.trim()) {
        ("", last) => number(last).map(|count| length.saturating_sub(count)..length),
        (first, "") => number(first).map(|first| first..length),
        (first, last) => number(first)
            .zip(number(last))
            .filter(|(first, last)| first <= last)
            .map(|(first, last)| first..last.saturating_add(1).min(length)),
    };
    match range {
        None => Asked::All,
        Some(range) if range.start >= range.end => Asked::Nothing,
        Some(range) => Asked::Bytes(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (header, expected) in [
            ("bytes=0-9", Asked::Bytes(0..10)),
            ("bytes=90-", Asked::Bytes(90..100)),
            ("bytes=90-999", Asked::Bytes(90..100)),
            ("bytes=-5", Asked::Bytes(95..100)),
            ("bytes=-500", Asked::Bytes(0..100)),
            ("bytes=-0", Asked::Nothing),
            ("bytes=100-", Asked::Nothing),
            ("bytes=9-3", Asked::All),
            ("bytes=0-1,5-6", Asked::All),
            ("lines=0-1", Asked::All),
            ("bytes=-", Asked::All),
        ] {
            assert_eq!(parse(header, 100), expected, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Asked::Nothing);
    }
}

//! Who may ask: the Host check against DNS rebinding, the Origin check against foreign pages, the bearer token.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Uri};

use crate::Secret;

/// Does the request name this machine, or a host of `allowed`? A page of another site that made its
/// name point here does not.
#[must_use]
pub fn host_allowed(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> bool {
    let named = match uri.host() {
        Some(host) => Some(host),
        None => headers.get(HOST).and_then(|value| value.to_str().ok()).map(without_port),
    };
    let Some(host) = named else { return false };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| own.eq_ignore_ascii_case(host))
        || allowed.iter().any(|own| without_port(own).eq_ignore_ascii_case(host))
}

/// Is `origin` the host that the request itself went to?
#[must_use]
pub fn is_own_origin(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let origin_host = origin.split_once("://").map(|(_, host)| host);
    matches!((host, origin_host), (Some(host), Some(own)) if host.eq_ignore_ascii_case(own))
}

/// Is `origin` what this machine serves at `port`, under the name that the request itself went to?
#[must_use]
pub fn is_neighbour_origin(origin: &str, headers: &HeaderMap, port: u16) -> bool {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).map(without_port);
    host.is_some_and(|host| origin.eq_ignore_ascii_case(&format!("http://{host}:{port}")))
}

/// Does the `Authorization` header carry this token as a bearer?
#[must_use]
pub fn bearer_matches(headers: &HeaderMap, token: &Secret) -> bool {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return false;
    };
    match value.as_bytes().split_at_checked(7) {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.matches(given.trim_ascii()),
        _ => false,
    }
}

/// What may not be: a service that the network reaches and that asks nobody for a secret.
/// `names` are the variables of the address and of the secret.
///
/// # Errors
/// One sentence that says what to set.
pub fn refuse_open_service(
    address: IpAddr,
    token: Option<&Secret>,
    names: (&str, &str),
) -> Result<(), String> {
    let (bind, token_name) = names;
    if address.is_loopback() || token.is_some() {
        return Ok(());
    }
    Err(format!(
        "cannot listen on {address} without {token_name}: everyone on the network could use this service; set it, or {bind}=127.0.0.1"
    ))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Uri};

    use super::{Secret, bearer_matches, host_allowed, is_neighbour_origin, is_own_origin};

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
        headers
    }

    #[test]
    fn only_own_names_pass_the_host_check() {
        let uri = Uri::from_static("/health");
        let allowed = ["board.example.invalid".to_owned()];
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:3002", true),
            ("127.0.0.1:3002", true),
            ("[::1]:3002", true),
            ("[::1]", true),
            ("board.example.invalid:443", true),
            ("evil.example.invalid", false),
            ("127.0.0.1.evil.example.invalid", false),
            ("", false),
        ] {
            assert_eq!(host_allowed(&with("host", host), &uri, &allowed), expected, "{host}");
        }
        assert!(!host_allowed(&HeaderMap::new(), &uri, &allowed));
    }

    #[test]
    fn own_origin_is_the_host_asked() {
        assert!(is_own_origin("http://127.0.0.1:3001", &with("host", "127.0.0.1:3001")));
        assert!(!is_own_origin("http://evil.example.invalid", &with("host", "127.0.0.1:3001")));
        assert!(!is_own_origin("null", &with("host", "127.0.0.1:3001")));
    }

    #[test]
    fn a_neighbour_has_the_same_name_and_its_own_port() {
        let is_neighbour = |origin: &str, host: &str| is_neighbour_origin(origin, &with("host", host), 3002);
        assert!(is_neighbour("http://127.0.0.1:3002", "127.0.0.1:3001"));
        assert!(is_neighbour("http://[::1]:3002", "[::1]:3001"));
        for wrong in [
            "http://127.0.0.1:3003",
            "http://localhost:3002",
            "http://127.0.0.1",
            "https://127.0.0.1:3002",
            "http://evil.example.invalid:3002",
            "http://127.0.0.1:3002.example.invalid",
            "null",
        ] {
            assert!(!is_neighbour(wrong, "127.0.0.1:3001"), "{wrong}");
        }
        assert!(!is_neighbour_origin("http://127.0.0.1:3002", &HeaderMap::new(), 3002));
    }

    #[test]
    fn bearer_needs_scheme_and_value() {
        let token = Secret::new("example-token".into());
        assert!(bearer_matches(&with("authorization", "Bearer example-token"), &token));
        assert!(bearer_matches(&with("authorization", "bearer example-token"), &token));
        for wrong in ["example-token", "Basic example-token", "Bearer", "Bearer example"] {
            assert!(!bearer_matches(&with("authorization", wrong), &token), "{wrong}");
        }
    }
}

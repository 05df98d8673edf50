//! Where the Graph API is.

use std::net::IpAddr;

use axum::http::Uri;
use axum::http::uri::InvalidUri;

/// A base address that may be trusted with the access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) is_secure: bool,
    /// A name or an IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What stands in the `Host` header.
    pub(crate) authority: String,
    /// What stands before the version, without a slash at its end.
    pub(crate) path: String,
}

/// Why a base address is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("is not an address: {0}")]
    Broken(#[from] InvalidUri),
    #[error("must begin with https:// and a host, and hold no user and no `?`")]
    Strange,
    #[error(
        "must begin with https://; http:// is for loopback only, for the access token would be readable on its way"
    )]
    Readable,
}

impl Address {
    /// Reads `https://HOST[:PORT][/PATH]`; `http://` is taken for 127.0.0.0/8, [::1] and localhost,
    /// which means 127.0.0.1.
    pub(crate) fn parse(base: &str) -> Result<Self, AddressError> {
        let uri: Uri = base.parse()?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(AddressError::Strange);
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || authority.as_str().contains('@') || uri.query().is_some() {
            return Err(AddressError::Strange);
        }
        let is_secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(AddressError::Strange),
        };
        let host = if !is_secure && host.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { host };
        if !is_secure && !host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) {
            return Err(AddressError::Readable);
        }
        Ok(Self {
            is_secure,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_that_may_have_the_token() {
        for (base, expected) in [
            ("https://graph.example.invalid", (true, "graph.example.invalid", 443, "")),
            ("https://graph.example.invalid:8443/proxy/", (true, "graph.example.invalid", 8443, "/proxy")),
            ("http://127.0.0.1:8080/", (false, "127.0.0.1", 8080, "")),
            ("http://127.9.9.9", (false, "127.9.9.9", 80, "")),
            ("http://localhost:1", (false, "127.0.0.1", 1, "")),
            ("http://[::1]:81", (false, "::1", 81, "")),
        ] {
            let found = Address::parse(base).expect(base);
            assert_eq!((found.is_secure, found.host.as_str(), found.port, found.path.as_str()), expected);
        }
    }

    #[test]
    fn addresses_that_may_not() {
        for (base, expected) in [
            ("http://graph.example.invalid", "loopback only"),
            ("http://127.0.0.1.example.invalid", "loopback only"),
            ("http://0.0.0.0", "loopback only"),
            ("ftp://127.0.0.1", "must begin"),
            ("graph.example.invalid", "must begin"),
            ("/path", "must begin"),
            ("https://user@example.invalid", "must begin"),
            ("http://127.0.0.1@example.invalid", "must begin"),
            ("https://example.invalid/?a=b", "must begin"),
            ("https://", "is not an address"),
            ("https://exa mple", "is not an address"),
        ] {
            let told = Address::parse(base).expect_err(base).to_string();
            assert!(told.contains(expected), "{base}: {told}");
        }
    }
}

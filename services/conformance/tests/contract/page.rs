//! §5 and the paths of it in §3.2: the dashboard page, as far as a browser's rules go.

use conformance::{Answer, Place};

const TOKEN: &str = "example-api-token";

/// What the page links to: the values of `src` and `href`.
fn links(page: &str) -> Vec<String> {
    let parts = page.split(['"', '\'']).collect::<Vec<_>>();
    let named = parts.windows(2).filter(|pair| pair[0].ends_with("src=") || pair[0].ends_with("href="));
    named.map(|pair| pair[1].to_owned()).filter(|link| !link.starts_with('#')).collect()
}

fn checked(answer: &Answer) {
    let policy = answer.header("content-security-policy").expect("a policy");
    for rule in ["default-src 'self'", "connect-src 'self' ws: wss:", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
}

/// §5: CSP `default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'`
/// §3.9: GET /dashboard
#[test]
fn the_page_is_served_with_its_policy() {
    let place = Place::lived_in();
    let api = place.api().start();
    let page = api.get("/dashboard");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    checked(&page);
    assert_eq!(api.ask("POST", "/dashboard", &[]).status, 405);
}

/// §5: self-contained: no CDN, no inline script or style
#[test]
fn the_page_needs_nothing_from_elsewhere_and_has_nothing_inline() {
    let place = Place::lived_in();
    let api = place.api().start();
    let page = api.get("/dashboard").text();
    let lower = page.to_lowercase();
    assert!(
        !lower.contains("<style") && !lower.contains(" style=") && !lower.contains(" onclick="),
        "inline"
    );
    for script in lower.split("<script").skip(1) {
        let (tag, content) = script.split_once('>').unwrap();
        assert!(tag.contains("src="), "an inline script");
        assert!(content.trim_start().starts_with("</script"), "an inline script");
    }
    let links = links(&page);
    assert!(!links.is_empty(), "its script and style are files");
    for link in links {
        assert!(!link.contains("//"), "{link} is elsewhere");
        let path = if link.starts_with('/') { link.clone() } else { format!("/{link}") };
        assert_eq!(api.get(&path).status, 200, "{link}");
    }
}

/// §3.2: `/dashboard` and its static files need no token
#[test]
fn the_page_and_its_files_need_no_token() {
    let place = Place::lived_in();
    let api = place.api().env("API_TOKEN", TOKEN).start();
    let page = api.get("/dashboard");
    assert_eq!(page.status, 200);
    assert!(!page.text().contains(TOKEN));
    for link in links(&page.text()) {
        let path = if link.starts_with('/') { link.clone() } else { format!("/{link}") };
        let file = api.get(&path);
        assert_eq!(file.status, 200, "{link}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{link}");
    }
    assert_eq!(api.get("/api/webhook/metrics").status, 401);
}

/// §5: no innerHTML with data
#[test]
fn the_script_makes_no_html_from_data() {
    let place = Place::lived_in();
    let api = place.api().start();
    for link in links(&api.get("/dashboard").text()).into_iter().filter(|link| link.ends_with(".js")) {
        let path = if link.starts_with('/') { link.clone() } else { format!("/{link}") };
        let script = api.get(&path).text();
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.contains(way), "{link}: {way}");
        }
    }
}

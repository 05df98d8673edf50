//! The dashboard page in a real browser, with the real services behind it.
//!
//! SCREENSHOTS=DIR keeps the pictures of the README there (`make screenshots`).

mod devtools;
mod sample;
mod scene;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use devtools::{Browser, Wishes};
use scene::Scene;
use serde_json::json;
use service_testing::eventually;

const LIVE: &str = "document.querySelector('#connection').dataset.level === 'ok'";
const NOT_LIVE: &str = "document.querySelector('#connection').dataset.level === 'warn'";
/// The ids of all lines, from top to bottom.
const IDS: &str = "[...document.querySelectorAll('#feed-rows li')].map((line) => Number(line.dataset.id))";
const TITLE: &str = "#state-title";

/// What the page shows is exactly the newest `count` ids up to `last`, newest first.
fn shows_all_up_to(last: u64, count: u64) -> String {
    let ids: Vec<u64> = (last + 1 - count..=last).rev().collect();
    format!("JSON.stringify({IDS}) === '{}'", json!(ids))
}

/// The page hears that it is looked at, and asks for everything at once.
fn look_again(browser: &mut Browser) {
    browser.value("document.dispatchEvent(new Event('visibilitychange'))");
}

#[test]
fn it_loads_without_complaint_and_shows_an_event_within_a_second() {
    let scene = Scene::new();
    let _websocket = scene.start_websocket();
    let mut browser = Browser::start();
    browser.before_each_page(&sample::answering(&sample::services()));
    let start = Instant::now();
    browser.open(&scene.url());
    browser.until(LIVE);
    let live = start.elapsed();
    browser.until("document.querySelector('#feed-empty').innerText.includes('make send-test-event')");
    browser.until("document.querySelector('[data-figure=Clicks] dd').innerText === '–'");
    let mut delays: Vec<Duration> = (1..=9)
        .map(|number| {
            let start = Instant::now();
            scene.click("market_overview");
            browser.until(&shows_all_up_to(number, number));
            start.elapsed()
        })
        .collect();
    delays.sort_unstable();
    eprintln!("from navigation to live {live:?}, from POST to row {:?} (middle of nine)", delays[4]);
    assert!(delays[4] < Duration::from_secs(1), "{delays:?}");
    browser.until("document.querySelector('[data-figure=Clicks] dd').innerText === '9'");
    let days = "[...document.querySelectorAll('#clicks-by-day .value')].map((value) => value.textContent)";
    browser.until(&format!("{days}.join() === '–,–,–,–,–,–,9'"));
    assert_eq!(browser.text("#feed-rows .what"), "market_overview");
    assert_eq!(browser.text("#feed-rows .phone"), "…0001");
    assert_eq!(browser.complaints(), [""; 0]);
    browser.end();
}

/// While `onlyTold` is set, the page gets events from the WebSocket alone.
const ONLY_TOLD: &str = "const fetched = window.fetch;
    window.fetch = (path, ...more) => window.onlyTold && path.includes('/events/recent')
      ? Promise.reject(new Error('not now')) : fetched(path, ...more);";

#[test]
fn a_killed_websocket_costs_no_event_and_doubles_none() {
    let scene = Scene::new();
    let websocket = scene.start_websocket();
    let mut browser = Browser::start();
    browser.before_each_page(ONLY_TOLD);
    browser.open(&scene.url());
    browser.until(LIVE);
    for _ in 0..5 {
        scene.click("before");
    }
    browser.until(&shows_all_up_to(5, 5));

    browser.value("window.onlyTold = true");
    websocket.kill();
    browser.until(NOT_LIVE);
    assert_eq!(browser.text(TITLE), "Working, without live events");
    for _ in 0..25 {
        scene.click("meanwhile");
    }
    let websocket = scene.start_websocket();
    browser.until(LIVE);
    scene.click("after");
    browser.until(&shows_all_up_to(31, 31));
    browser.until(&format!("document.querySelector('{TITLE}').innerText === 'Everything is working'"));

    // Too much for the WebSocket to tell: what is skipped is said, and the rest is there once.
    browser.value("window.onlyTold = false");
    websocket.kill();
    browser.until(NOT_LIVE);
    scene.insert(1100);
    let _websocket = scene.start_websocket();
    browser.until(LIVE);
    browser.until(&shows_all_up_to(1131, 200));
    assert!(browser.text("#feed-note").contains("skipped"));
    scene.click("after");
    browser.until(&shows_all_up_to(1132, 200));
}

#[test]
fn without_the_websocket_events_are_fetched() {
    let mut scene = Scene::new();
    scene.release_socket();
    let websocket = scene.start_websocket();
    let mut browser = scene.open();
    browser.until(LIVE);
    websocket.end();
    browser.until(NOT_LIVE);
    scene.click("fetched");
    look_again(&mut browser);
    browser.until(&shows_all_up_to(1, 1));
    scene.click("fetched or told");
    let _websocket = scene.start_websocket();
    browser.until(&format!("!document.querySelector('#connect-now').hidden || {LIVE}"));
    browser.value("document.querySelector('#connect-now').click()");
    browser.until(LIVE);
    scene.click("told");
    browser.until(&shows_all_up_to(3, 3));
}

#[test]
fn what_people_send_is_never_markup() {
    const MARKUP: &str = r#"<img src="x" onerror="window.hacked = true">"#;
    let scene = Scene::new();
    let _websocket = scene.start_websocket();
    scene.insert_one(MARKUP, MARKUP, &json!({"contentId": MARKUP}));
    scene.insert_one(
        "content_delivery",
        MARKUP,
        &json!({"contentId": MARKUP, "success": false, "error": {"x": MARKUP}}),
    );
    scene.insert_one("message_status", MARKUP, &json!({"errors": [{"title": MARKUP}]}));
    let mut browser = Browser::start();
    let mut services = sample::services();
    services["data"][0]["name"] = MARKUP.into();
    services["data"][0]["reason"] = MARKUP.into();
    browser.before_each_page(&sample::answering(&services));
    browser.open(&scene.url());
    browser.until(LIVE);
    scene.click(MARKUP);
    scene.write(MARKUP);
    browser.until(&shows_all_up_to(5, 5));
    browser.until("document.querySelector('#clicks-by-button .value')?.innerText === '1'");
    browser.until("document.querySelector('#services th[scope=row]')");
    let whats = browser.value("[...document.querySelectorAll('.what')].map((what) => what.textContent)");
    assert_eq!((&whats[0], &whats[1]), (&json!("Text message"), &json!(MARKUP)));
    assert!(browser.text("#clicks-by-button .name").contains(MARKUP));
    browser.value("document.querySelector('button.phone').click()");
    let made =
        browser.value("[document.querySelectorAll('main img, main script').length, typeof window.hacked]");
    assert_eq!(made, json!([0, "undefined"]));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// What shows that an element has the focus; a radio button shows it on its label.
const OUTLINE: &str = "(() => {
      const node = document.activeElement;
      return getComputedStyle(node.type === 'radio' ? node.nextSibling : node).outlineStyle;
    })()";

#[test]
fn filter_pause_and_numbers_work_by_keyboard() {
    let scene = Scene::new();
    let websocket = scene.start_websocket();
    let mut browser = scene.open();
    browser.until(LIVE);
    scene.click("market_overview");
    scene.write("hello");
    browser.until(&shows_all_up_to(2, 2));
    let tab_to = |browser: &mut Browser, selector: &str| {
        let reached = format!("document.activeElement.matches('{selector}')");
        let found = (0..20).any(|_| {
            browser.press("Tab");
            browser.value(&reached) == true
        });
        assert!(found, "{selector} is not reached by Tab");
        assert_eq!(browser.value(OUTLINE), "solid", "the focus on {selector} is seen");
    };

    tab_to(&mut browser, "#feed-pause");
    browser.press("Enter");
    assert_eq!(browser.text("#feed-pause"), "Resume");
    scene.click("portfolio_strategy");
    browser.until("document.querySelector('#feed-new').innerText === '1 new'");
    assert_eq!(browser.value(IDS), json!([2, 1]));
    browser.press("Enter");
    browser.until(&shows_all_up_to(3, 3));
    browser.until("document.querySelector('#feed-new').hidden");

    tab_to(&mut browser, "#feed-filter input");
    browser.press("ArrowRight");
    assert_eq!(browser.value(IDS), json!([3, 1]), "clicks only");
    browser.press("ArrowRight");
    assert_eq!(browser.value(IDS), json!([2]), "texts only");
    browser.press("ArrowRight");
    assert!(browser.text("#feed-empty").contains("No deliveries"));
    browser.value("document.querySelector('#feed-filter input').click()");

    tab_to(&mut browser, "#feed-scroll");
    tab_to(&mut browser, "button.phone");
    browser.press("Enter");
    assert_eq!(browser.value("document.activeElement.textContent"), "15550100001");
    scene.click("market_overview");
    browser.until(&shows_all_up_to(4, 4));
    assert_eq!(browser.value("document.activeElement.textContent"), "15550100001", "the focus stays");
    browser.press(" ");
    assert_eq!(browser.value("document.activeElement.textContent"), "…0001");

    // Who has scrolled down reads on undisturbed.
    scene.insert(60);
    browser.until(&shows_all_up_to(64, 64));
    browser.value("document.querySelector('#feed-scroll').scrollTop = 300");
    scene.click("market_overview");
    browser.until("document.querySelector('#feed-new').innerText === '1 new'");
    assert_eq!(browser.value(IDS)[0], 64);
    browser.value("document.querySelector('#feed-new').click()");
    browser.until(&shows_all_up_to(65, 65));

    // Nobody looks: nothing is drawn. Somebody looks again: all is there.
    browser.value("Object.defineProperty(document, 'hidden', { value: true, configurable: true })");
    look_again(&mut browser);
    scene.insert_one("button_click", "later", &json!({}));
    eventually("it is told", || websocket.get("/health").json()["last_event_id"] == 66);
    assert_eq!(browser.value(IDS)[0], 65);
    browser.value("delete document.hidden");
    look_again(&mut browser);
    browser.until(&shows_all_up_to(66, 66));
}

#[test]
fn the_token_is_asked_once() {
    let scene = Scene::with_token("example-token");
    let _websocket = scene.start_websocket();
    let mut browser = scene.open();
    browser.until("document.querySelector('#token-dialog').open");
    browser.until("document.activeElement.id === 'token'");
    assert_eq!(browser.complaints(), [""; 0], "nothing was asked without a token");
    browser.press("Escape");
    browser.until("document.querySelector('#token-dialog').open && document.activeElement.id === 'token'");
    browser.type_text("wrong");
    browser.press("Enter");
    browser.until("document.querySelector('#token-error').innerText.includes('not accepted')");
    browser.type_text("example-token");
    browser.press("Enter");
    browser.until(LIVE);
    browser.until(&format!("document.querySelector('{TITLE}').innerText === 'Everything is working'"));
    browser.open(&scene.url());
    browser.until(LIVE);
    assert_eq!(browser.value("document.querySelector('#token-dialog').open"), false);
    browser.value("document.querySelector('#forget-token').click()");
    browser.until("document.querySelector('#token-dialog').open && document.activeElement.id === 'token'");
    assert_eq!(browser.value("sessionStorage.length"), 0);
}

#[test]
fn it_says_what_is_wrong() {
    let scene = Scene::new();
    let _websocket = scene.start_websocket();
    let mut browser = Browser::start();
    let mut services = sample::services();
    browser.before_each_page(&sample::answering(&services));
    browser.open(&scene.url());
    let title_is = |title: &str| format!("document.querySelector('{TITLE}').innerText === '{title}'");
    browser.until(&title_is("Everything is working"));
    let words = "[...document.querySelectorAll('#parts .word')].map((word) => word.textContent)";
    assert_eq!(browser.value(words), json!(["Online", "Online", "Online", "Online"]));
    assert!(browser.text("#parts [data-part=Webhook]").contains("5.6 MiB of 256 MiB"));
    assert_eq!(browser.value("document.querySelectorAll('#services tbody tr').length"), 3);

    services["data"][0]["status"] = "crash-loop".into();
    services["data"][0]["restarts"] = 7.into();
    services["data"][0]["reason"] = "it ended with exit code 1".into();
    browser.value(&format!("window.services = {services}; 0"));
    look_again(&mut browser);
    browser.until(&title_is("Webhook down"));
    assert!(browser.text("#state-reason").contains("it ended with exit code 1."));
    let tile = browser.text("#parts [data-part=Webhook]");
    assert!(tile.contains("crash-loop") && tile.contains('7'), "{tile}");
    assert_eq!(browser.value("document.querySelector('#state').dataset.level"), "bad");
    assert_eq!(browser.value("document.title"), "Webhook down · dogwatch");

    // Without a supervisor what only it can know is not shown, and not invented.
    browser.value("window.fetch = real; 0");
    look_again(&mut browser);
    browser.until(&title_is("Everything is working"));
    browser.until(
        "!document.querySelector('#health-note').hidden && document.querySelector('#services').hidden",
    );
    let tile = browser.text("#parts [data-part=Webhook]");
    assert!(tile.matches('–').count() == 3, "{tile}");

    let Scene { api, .. } = scene;
    api.kill();
    look_again(&mut browser);
    browser.until(&title_is("The API does not answer"));
    let words = browser.value(words);
    assert_eq!((&words[0], &words[1]), (&json!("Unknown"), &json!("Down")));
}

#[test]
fn it_looks_right_on_a_desk_and_on_a_phone() {
    let scene = Scene::new();
    let _websocket = scene.start_websocket();
    sample::fill(&mut scene.sql());
    let keep = std::env::var_os("SCREENSHOTS").map(PathBuf::from);
    let folder = keep.as_deref().unwrap_or(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let mut browser = Browser::start();
    browser.before_each_page(&sample::answering(&sample::services()));
    let desk = Wishes { width: 1440, height: 952, dark: false };
    let phone = Wishes { width: 360, height: 780, dark: true };
    for (name, wishes) in [
        ("dashboard.png", desk),
        ("dashboard-phone.png", phone),
        ("dashboard-dark.png", Wishes { dark: true, ..desk }),
        ("dashboard-phone-light.png", Wishes { dark: false, ..phone }),
    ] {
        browser.wish(wishes);
        browser.open(&scene.url());
        for (selector, many) in [
            ("#feed-rows li", 200),
            ("#talks-by-day li", 30),
            ("#clicks-by-day li", 7),
            ("#services tbody tr", 3),
            ("#machine > div", 6),
        ] {
            browser.until(&format!("document.querySelectorAll('{selector}').length === {many}"));
        }
        browser.until(&format!("document.querySelector('{TITLE}').innerText === 'Everything is working'"));
        let width = browser.value("document.documentElement.scrollWidth");
        assert_eq!(width, wishes.width, "{name}: scrolls sideways");
        let is_dark =
            browser.value("parseInt(getComputedStyle(document.body).backgroundColor.slice(4)) < 100");
        assert_eq!(is_dark, wishes.dark, "{name}");
        assert_eq!(browser.value(TOO_PALE), json!([]), "{name}: text that is hard to read");
        assert_eq!(browser.value(MOVING), 0, "{name}: moves, though its reader wants it to rest");
        let file = folder.join(name);
        browser.screenshot(&file);
        let bytes = std::fs::metadata(&file).expect("written").len();
        assert!(bytes < 200_000, "{name}: {bytes} bytes");
        if keep.is_none() || wishes.dark != (wishes.width < 500) {
            std::fs::remove_file(&file).expect("removed");
        }
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// How many elements are animated.
const MOVING: &str = "[...document.querySelectorAll('*')]
    .filter((node) => getComputedStyle(node).animationName !== 'none').length";

/// Texts whose contrast to what is behind them is below 4.5 (WCAG AA).
const TOO_PALE: &str = r"
(() => {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(node).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const light = (color) => {
    const [r, g, b] = color.map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pale = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (text.data.trim() === '' || !node.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color).slice(0, 3)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) pale.push(`${text.data}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(pale)];
})()";

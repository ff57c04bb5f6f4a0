//! A browser without a window, for pages that are files: Chromium, spoken to in its DevTools protocol over a pipe
//! (<https://chromedevtools.github.io/devtools-protocol/>). What it says of its own is kept.

use crate::command::find;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long an answer may take: the machine may have much else to do.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// A browser that has one page open.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// What it told without being asked: requests, messages of the console, errors.
    pub events: Vec<Value>,
    /// Its profile.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it; `None` where it is not installed.
    ///
    /// # Errors
    /// If it does not start, or does not answer.
    pub fn start() -> Result<Option<Self>> {
        let Some(program) = find("chromium") else { return Ok(None) };
        let profile = tempfile::Builder::new().prefix("browser-").tempdir()?;
        let data = format!("--user-data-dir={}", profile.path().display());
        let mut command = Command::new("sh");
        // It reads commands from the descriptor 3, and answers on 4.
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"]).arg(program);
        command.args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        command.args(["--disable-sync", "--disable-extensions", "--disable-dev-shm-usage", &data]);
        command.args(["--window-size=1200,900", "about:blank"]).env("HOME", profile.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start chromium")?;
        let to = child.stdin.take().context("its standard input is a pipe")?;
        let out = child.stdout.take().context("its standard output is a pipe")?;
        let (sender, from) = channel();
        // It ends with the browser.
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser =
            Self { child, to, from, session: None, last: 0, events: Vec::new(), _profile: profile };
        browser.attach()?;
        Ok(Some(browser))
    }

    fn attach(&mut self) -> Result<()> {
        let target = self.command("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.command("Target.attachToTarget", attach)?;
        self.session = Some(session["sessionId"].as_str().context("no session")?.to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            self.command(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(())
    }

    /// Has it do something, and answers with its answer.
    ///
    /// # Errors
    /// If it cannot, or ends, or takes too long.
    pub fn command(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut line = message.to_string().into_bytes();
        line.push(0);
        self.to.write_all(&line).with_context(|| format!("{method}: the browser has ended"))?;
        let last = self.last;
        let answer = self.wait_for(method, |message| message["id"] == last)?;
        ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        Ok(answer["result"].clone())
    }

    /// The first message that is wanted; others are kept as [`events`](Self::events).
    fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let until = Instant::now() + ANSWER_MAX;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message =
                self.from.recv_timeout(left).with_context(|| format!("{what}: no answer of the browser"))?;
            if wanted(&message) {
                return Ok(message);
            }
            if message["id"].is_null() {
                self.events.push(message);
            }
        }
    }

    /// Opens a file, and waits until all of it is there.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&mut self, file: &Path) -> Result<()> {
        let url = format!("file://{}", file.display());
        let opened = self.command("Page.navigate", json!({ "url": url }))?;
        ensure!(opened["errorText"].is_null(), "{url}: {}", opened["errorText"]);
        let is_loaded = |message: &Value| message["method"] == "Page.loadEventFired";
        if !self.events.iter().any(is_loaded) {
            self.wait_for("loading a page", is_loaded)?;
        }
        Ok(())
    }

    /// What an expression is on the page, as JSON.
    ///
    /// # Errors
    /// If it throws.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let answer = self.command("Runtime.evaluate", parameters)?;
        if !answer["exceptionDetails"].is_null() {
            bail!("{expression}: {}", answer["exceptionDetails"]);
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Has pages look as the user wants them: `light` or `dark`, on a `screen` or in `print`.
    ///
    /// # Errors
    /// If the browser does not know that.
    pub fn look(&mut self, scheme: &str, medium: &str) -> Result<()> {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command("Emulation.setEmulatedMedia", json!({ "media": medium, "features": features })).map(drop)
    }

    /// Presses Tab.
    ///
    /// # Errors
    /// If the browser has ended.
    pub fn press_tab(&mut self) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
            self.command("Input.dispatchKeyEvent", key)?;
        }
        Ok(())
    }

    /// The events of a kind so far.
    pub fn events_of(&self, method: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["method"] == method).map(|event| &event["params"]).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // It ends its other processes itself, if it still can.
        if self.command("Browser.close", json!({})).is_err() {
            _ = self.child.kill();
        }
        _ = self.child.wait();
    }
}

//! Single requests: where they go, what the token is for, what an answer's status means.

use super::environment::Token;
use super::options::HubOptions;
use super::retry::Fault;
use crate::error::{Error, HubProblem, Result};
use std::ops::Range;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

/// Redirections that are followed.
const HOPS: usize = 5;
/// A connection to one endpoint.
pub(super) struct Client {
    agent: Agent,
    /// Without a slash at its end.
    endpoint: String,
    token: Option<Token>,
    pub(super) options: HubOptions,
}

/// What was asked for, for messages.
#[derive(Clone)]
pub(super) struct Asked<'a> {
    pub(super) url: &'a str,
    pub(super) range: Option<Range<u64>>,
}

impl Asked<'_> {
    pub(super) fn error(&self, problem: HubProblem, status: Option<u16>, what: impl Into<String>) -> Error {
        Error::Hub {
            problem,
            // Signatures of a URL are its query: they are secret, and nobody reads them.
            url: self.url.split('?').next().unwrap_or_default().into(),
            status,
            range: self.range.clone(),
            what: what.into(),
        }
    }

    pub(super) fn unreachable(&self, status: Option<u16>, what: impl Into<String>) -> Fault {
        Fault::again(self.error(HubProblem::Unreachable, status, what))
    }

    pub(super) fn protocol(&self, status: Option<u16>, what: impl Into<String>) -> Fault {
        self.error(HubProblem::Protocol, status, what).into()
    }
}

/// An answer that is no redirection.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    /// Where it came from in the end.
    pub(super) url: String,
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Scheme, host and port: what a token is for.
fn origin(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    Some((
        uri.scheme_str()?.to_ascii_lowercase(),
        uri.authority()?.as_str().to_ascii_lowercase(),
    ))
}

/// The host (and port) of a URL.
pub(super) fn authority(url: &str) -> String {
    origin(url).map(|(_, authority)| authority).unwrap_or_default()
}

/// Where a `Location` leads from a URL.
fn resolve(from: &str, location: &str) -> Option<String> {
    let (scheme, authority) = origin(from)?;
    let to = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let path = from.split('?').next()?;
        format!("{}/{location}", path.rsplit_once('/')?.0)
    };
    let (to_scheme, _) = origin(&to)?;
    let fine = to_scheme == "https" || to_scheme == "http" && scheme == "http";
    fine.then_some(to)
}

impl Client {
    /// # Errors
    /// [`Error::Usage`] if the endpoint is no URL, or the token has characters that no token has.
    pub(super) fn new(endpoint: &str, token: Option<Token>, options: HubOptions) -> Result<Self> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !origin(&endpoint).is_some_and(|(scheme, _)| scheme == "http" || scheme == "https") {
            return Err(Error::usage(format!(
                "{endpoint:?} is no endpoint: write https://host (HF_ENDPOINT)"
            )));
        }
        if token
            .as_ref()
            .is_some_and(|t| !t.0.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(Error::usage("the access token has characters that no token has"));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(options.connect_timeout))
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_recv_response(Some(options.read_timeout))
            .timeout_per_read(Some(options.read_timeout))
            .max_idle_connections(2 * options.in_flight)
            .max_idle_connections_per_host(options.in_flight)
            .user_agent(concat!("wcodec/", env!("CARGO_PKG_VERSION")))
            // Offsets and lengths are the file's own.
            .accept_encoding("identity")
            .build();
        Ok(Self {
            agent: config.into(),
            endpoint,
            token,
            options,
        })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// One request. Redirections are not followed.
    fn once(&self, head: bool, asked: &Asked) -> Result<Response<Body>, Fault> {
        let mut request = match head {
            true => self.agent.head(asked.url),
            false => self.agent.get(asked.url),
        };
        if let Some(range) = &asked.range {
            request = request.header("Range", format!("bytes={}-{}", range.start, range.end - 1));
        }
        // Nobody but the endpoint sees the token, wherever it redirects to.
        if let Some(Token(token)) = &self.token
            && origin(asked.url) == origin(&self.endpoint)
        {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|e| match e {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => asked.protocol(None, e.to_string()),
            e => asked.unreachable(None, e.to_string()),
        })
    }

    /// GET, following redirections. `watch` sees each of these.
    pub(super) fn get(
        &self,
        url: &str,
        range: Option<Range<u64>>,
        mut watch: impl FnMut(&Asked, u16, &HeaderMap) -> Result<()>,
    ) -> Result<Answer, Fault> {
        let mut url = url.to_owned();
        for _ in 0..=HOPS {
            let asked = Asked {
                url: &url,
                range: range.clone(),
            };
            let response = self.once(false, &asked)?;
            if !response.status().is_redirection() {
                return Ok(Answer { response, url });
            }
            watch(&asked, response.status().as_u16(), response.headers())?;
            url = next(&asked, &response)?;
        }
        Err(Asked { url: &url, range }.protocol(None, "it redirects again and again"))
    }

    /// HEAD, following redirections only as far as they do not leave the endpoint: the endpoint's own
    /// answer says which commit and which digest, the storage's does not. Gives the headers, and the
    /// status of the answer that they are of.
    pub(super) fn head(&self, url: &str) -> Result<(HeaderMap, u16), Fault> {
        let mut url = url.to_owned();
        for _ in 0..=HOPS {
            let asked = Asked { url: &url, range: None };
            let response = self.once(true, &asked)?;
            let status = response.status();
            if status.is_success() {
                return Ok((response.headers().clone(), status.as_u16()));
            }
            if !status.is_redirection() {
                return Err(self.refusal(&asked, status.as_u16(), response.headers()));
            }
            let to = next(&asked, &response)?;
            if response.headers().contains_key("x-linked-etag") || origin(&to) != origin(&self.endpoint) {
                return Ok((response.headers().clone(), status.as_u16()));
            }
            url = to;
        }
        Err(Asked { url: &url, range: None }.protocol(None, "it redirects again and again"))
    }

    /// What a status that is no success means.
    pub(super) fn refusal(&self, asked: &Asked, status: u16, headers: &HeaderMap) -> Fault {
        use HubProblem as P;
        let code = header(headers, "x-error-code").unwrap_or_default();
        let error = |problem, what: &str| asked.error(problem, Some(status), what);
        let endpoint = &self.endpoint;
        let allow = match self.token {
            Some(_) => format!("does the token allow it? Accept the conditions on the model's page at {endpoint}"),
            None => format!(
                "it may be private, gated, or not there at all: set HF_TOKEN to an access token, and accept \
                 the conditions on the model's page at {endpoint}"
            ),
        };
        match (status, code) {
            (_, "GatedRepo") => error(P::NotAllowed, &format!("the repository is gated: {allow}")).into(),
            (_, "EntryNotFound") => error(P::NotFound, "there is no such file in the repository").into(),
            (_, "RevisionNotFound") => error(P::NotFound, "there is no such revision of the repository").into(),
            (404, "RepoNotFound") => error(P::NotFound, "there is no such repository, or not for this token").into(),
            (401 | 403, _) => error(P::NotAllowed, &format!("it was refused: {allow}")).into(),
            (404 | 410, _) => error(P::NotFound, "it is not there: look at the name").into(),
            (429, _) => Fault {
                after: retry_after(headers),
                ..Fault::again(error(
                    P::RateLimited,
                    "too many requests: wait, or set HF_TOKEN for a higher limit",
                ))
            },
            (408 | 500..=599, _) => Fault {
                after: retry_after(headers),
                ..Fault::again(error(P::Unreachable, "the server has a problem: try again later"))
            },
            _ => error(P::Protocol, "an answer that no hub gives").into(),
        }
    }

    /// A short text whole, of at most `most` bytes.
    pub(super) fn text(&self, url: &str, most: u64, attempts: u32) -> Result<Vec<u8>> {
        let asked = Asked { url, range: None };
        self.retry_up_to(attempts, &|| false, |_| {
            let mut answer = self.get(url, None, |_, _, _| Ok(()))?;
            let status = answer.response.status().as_u16();
            if status != 200 {
                return Err(self.refusal(&asked, status, answer.response.headers()));
            }
            match answer.response.body_mut().with_config().limit(most).read_to_vec() {
                Ok(bytes) => Ok(bytes),
                Err(ureq::Error::BodyExceedsLimit(_)) => {
                    Err(asked.protocol(Some(status), format!("an answer of more than {most} bytes")))
                }
                Err(e) => Err(asked.unreachable(Some(status), e.to_string())),
            }
        })
    }
}

/// Where a redirection leads.
fn next(asked: &Asked, response: &Response<Body>) -> Result<String, Fault> {
    let location = header(response.headers(), "location").unwrap_or_default();
    resolve(asked.url, location).ok_or_else(|| {
        let what = "a redirection that leads nowhere, or from https to http";
        asked.protocol(Some(response.status().as_u16()), what)
    })
}

/// Seconds only: the other form, a date, is not used by hubs.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    header(headers, "retry-after")?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_lead_on() {
        let from = "https://a.b/x/y?z=1";
        for (location, to) in [
            ("/q?r", Some("https://a.b/q?r")),
            ("w", Some("https://a.b/x/w")),
            ("//c.d/e", Some("https://c.d/e")),
            ("https://c.d:81/e", Some("https://c.d:81/e")),
            ("http://a.b/x", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(resolve(from, location).as_deref(), to, "{location}");
        }
    }

    #[test]
    fn origins_have_ports() {
        assert_ne!(origin("http://127.0.0.1:80/"), origin("http://127.0.0.1:81/"));
        assert_eq!(origin("HTTPS://A.b/x"), origin("https://a.B/y"));
    }
}

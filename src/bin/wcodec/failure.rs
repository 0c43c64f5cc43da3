//! Why a command failed: the line on stderr, the JSON object, the exit status.

use crate::output;
use serde_json::json;
use std::process::ExitCode;

/// A command's error.
#[derive(Debug)]
pub(crate) struct Failure {
    /// A word for programs, such as `corrupt`.
    kind: &'static str,
    message: String,
    /// Tensor, where one is concerned.
    tensor: Option<String>,
    /// The reader of our output went away, as `head` does.
    silent: bool,
    /// The result is on stdout already, and says it too.
    printed: bool,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            tensor: None,
            silent: false,
            printed: false,
        }
    }

    /// The call is wrong, not the data: exit status 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message)
    }

    /// What the system said when doing something.
    pub(crate) fn io(doing: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |e| Self::new("io", format!("{doing}: {e}"))
    }

    /// Nobody reads stdout any more: end quietly.
    pub(crate) fn closed_output() -> Self {
        Self {
            silent: true,
            ..Self::new("io", "stdout is closed")
        }
    }

    /// A result that was printed is not what was asked for.
    #[cfg(feature = "eval")]
    pub(crate) fn after_result(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            printed: true,
            ..Self::new(kind, message)
        }
    }

    /// Says what it is about, if it does not yet.
    #[cfg(feature = "run")]
    pub(crate) fn about(mut self, what: &str) -> Self {
        if !self.message.contains(what) {
            self.message = format!("{what}: {}", self.message);
        }
        self
    }

    /// Adds what to do.
    #[cfg(feature = "eval")]
    pub(crate) fn and(mut self, what: &str) -> Self {
        self.message = format!("{}: {what}", self.message);
        self
    }

    /// Whether nobody reads stdout any more.
    #[cfg(feature = "eval")]
    pub(crate) fn is_closed_output(&self) -> bool {
        self.silent
    }

    #[cfg(feature = "eval")]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.kind == "cancelled"
    }

    /// What it says, on one line whatever file names hold, and nothing that steers a terminal.
    pub(crate) fn message(&self) -> String {
        output::printable(&self.message.replace(['\n', '\r', '\t'], " "))
    }

    /// Prints it and gives the exit status.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if self.silent {
            return ExitCode::SUCCESS;
        }
        let message = self.message();
        eprintln!("error: {message}");
        if json && !self.printed {
            let mut error = json!({ "kind": self.kind, "message": message });
            if let Some(tensor) = &self.tensor {
                error["tensor"] = tensor.as_str().into();
            }
            // The line on stderr says it all if stdout is gone.
            let _ = output::print_json(&json!({ "error": error }));
        }
        ExitCode::from(match self.kind {
            "usage" => 2,
            "cancelled" => 130,
            _ => 1,
        })
    }
}

fn hub_kind(problem: wcodec::HubProblem) -> &'static str {
    use wcodec::HubProblem;
    match problem {
        HubProblem::NotFound => "not-found",
        HubProblem::NotAllowed => "not-allowed",
        HubProblem::RateLimited => "rate-limited",
        HubProblem::Unreachable => "unreachable",
        HubProblem::Protocol => "protocol",
        HubProblem::Changed => "changed",
        HubProblem::Digest => "digest",
        HubProblem::Offline => "offline",
        _ => "hub",
    }
}

impl From<wcodec::Error> for Failure {
    fn from(error: wcodec::Error) -> Self {
        use wcodec::Error;
        let kind = match &error {
            Error::Io { .. } => "io",
            Error::NotWcodec { .. } => "not-wcodec",
            Error::Version { .. } => "version",
            Error::Corrupt { .. } => "corrupt",
            Error::Limit { .. } => "limit",
            Error::Unsupported { .. } => "unsupported",
            Error::NoTensor { .. } => "no-tensor",
            Error::Usage(_) => "usage",
            Error::Input { .. } => "input",
            Error::Differs { .. } => "differs",
            Error::OutOfMemory { .. } => "out-of-memory",
            Error::Gpu { .. } => "gpu",
            Error::Compute(_) => "compute",
            Error::Cancelled => "cancelled",
            Error::Hub { problem, .. } => hub_kind(*problem),
            _ => "other",
        };
        let tensor = error.location().and_then(|at| at.tensor.clone());
        Self {
            tensor,
            ..Self::new(kind, error.to_string())
        }
    }
}

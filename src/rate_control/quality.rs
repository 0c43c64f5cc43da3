//! Named points on the way from large to small.

use crate::eval::Limits;

/// A named limit on the mean KL divergence from the original. A limit means the same for every model, as a rate does
/// not: small models need more bits for it than large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Next to nothing is lost.
    Near,
    /// Hard to tell from the original.
    High,
    /// What 4 to 5 bits a weight usually cost.
    Medium,
    /// The smallest that is of use.
    Small,
}

impl Quality {
    /// All of them, the largest file first.
    pub const ALL: [Self; 4] = [Self::Near, Self::High, Self::Medium, Self::Small];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Small => "small",
        }
    }

    /// Largest mean divergence, in nats a token.
    pub fn divergence(self) -> f64 {
        match self {
            Self::Near => 0.003,
            Self::High => 0.01,
            Self::Medium => 0.03,
            Self::Small => 0.1,
        }
    }

    /// As a limit.
    pub fn limits(self) -> Limits {
        Limits {
            divergence: Some(self.divergence()),
            ..Limits::default()
        }
    }
}

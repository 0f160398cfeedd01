//! What one answer will be, decided when its request arrives: length, faults, due times.
//!
//! Pure: all chance derives from the seed and the request's number, the server brings the clock.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Settings;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused with 429.
    TooManyRequests,
    /// Refused with 500.
    ServerError,
    /// The connection is cut half-way.
    Cut,
    /// The answer stands still half-way.
    Stall,
    /// An event half-way is no JSON.
    Malformed,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) fault: Option<Fault>,
    /// Tokens of the whole answer; at least 1, but for an embedding.
    pub(crate) tokens: u32,
    /// Whether it ends because `max_tokens` is reached.
    pub(crate) full_length: bool,
    /// The word it begins with.
    pub(crate) first_word: usize,
    due: DueTimes,
}

/// What a request asks of an answer's length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) max_tokens: u32,
    pub(crate) min_tokens: u32,
    pub(crate) ignore_eos: bool,
}

impl Answer {
    /// The answer to the `number`-th request.
    pub(crate) fn plan(settings: &Settings, number: u64, asked: Length) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(settings.seed);
        chance.set_stream(number);
        let fault = fault(settings, chance.random());
        let first_word = chance.random_range(0..1_000);
        let max_tokens = asked.max_tokens.max(1);
        let tokens = match settings.output_tokens {
            Some(own) if !asked.ignore_eos => own.max(asked.min_tokens).clamp(1, max_tokens),
            _ => max_tokens,
        };
        Self {
            fault,
            tokens,
            full_length: tokens == max_tokens,
            first_word,
            due: DueTimes::new(settings, chance),
        }
    }

    /// The same without a token: an embedding, due when the first token would be.
    pub(crate) fn without_tokens(self) -> Self {
        Self { tokens: 0, ..self }
    }

    /// When the next token is due, counted from the request's arrival.
    pub(crate) fn next_due(&mut self) -> Duration {
        self.due.advance()
    }

    /// When the last token is due, where none has been asked for before.
    pub(crate) fn last_due(&mut self) -> Duration {
        let first = self.next_due();
        (1..self.tokens).fold(first, |_, _| self.next_due())
    }
}

fn fault(settings: &Settings, drawn: f64) -> Option<Fault> {
    let mut below = 0.0;
    [
        (settings.fault_429, Fault::TooManyRequests),
        (settings.fault_500, Fault::ServerError),
        (settings.fault_cut, Fault::Cut),
        (settings.fault_stall, Fault::Stall),
        (settings.fault_malformed, Fault::Malformed),
    ]
    .into_iter()
    .find_map(|(rate, fault)| {
        below += rate;
        (drawn < below).then_some(fault)
    })
}

/// When tokens are due: `ttft + k * itl`, each time with its own jitter.
#[derive(Debug)]
struct DueTimes {
    ttft_ms: f64,
    itl_ms: f64,
    jitter: Option<Lognormal>,
    chance: ChaCha8Rng,
    /// Milliseconds from arrival of the last token given out.
    last_ms: Option<f64>,
    /// Its number.
    nth: u32,
}

impl DueTimes {
    fn new(settings: &Settings, chance: ChaCha8Rng) -> Self {
        Self {
            ttft_ms: settings.ttft_ms,
            itl_ms: settings.itl_ms,
            jitter: (settings.jitter > 0.0).then(|| Lognormal::of_mean_1(settings.jitter)),
            chance,
            last_ms: None,
            nth: 0,
        }
    }

    fn advance(&mut self) -> Duration {
        let due_ms = match (self.last_ms, &self.jitter) {
            (None, None) => self.ttft_ms,
            (None, Some(jitter)) => self.ttft_ms * jitter.draw(&mut self.chance),
            (Some(_), None) => {
                self.nth += 1;
                self.ttft_ms + f64::from(self.nth) * self.itl_ms
            }
            (Some(last_ms), Some(jitter)) => last_ms + self.itl_ms * jitter.draw(&mut self.chance),
        };
        self.last_ms = Some(due_ms);
        Duration::from_secs_f64(due_ms / 1e3)
    }
}

/// A lognormal distribution of mean 1.
#[derive(Debug)]
struct Lognormal {
    mu: f64,
    sigma: f64,
}

impl Lognormal {
    /// `variation`: standard deviation / mean.
    fn of_mean_1(variation: f64) -> Self {
        let variance = (variation * variation).ln_1p();
        Self { mu: -variance / 2.0, sigma: variance.sqrt() }
    }

    fn draw(&self, chance: &mut ChaCha8Rng) -> f64 {
        // Box and Muller (1958); 1 - u is in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - chance.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * chance.random::<f64>();
        (self.mu + self.sigma * radius * angle.cos()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Length = Length { max_tokens: 100, min_tokens: 0, ignore_eos: false };

    fn due_ms(settings: &Settings, number: u64, tokens: usize) -> Vec<f64> {
        let mut answer = Answer::plan(settings, number, LONG);
        (0..tokens).map(|_| answer.next_due().as_secs_f64() * 1e3).collect()
    }

    #[test]
    fn token_k_is_due_at_ttft_plus_k_times_itl() {
        let settings = Settings { ttft_ms: 40.0, itl_ms: 0.1, ..Settings::default() };
        let due = due_ms(&settings, 0, 10_001);
        assert!((due[0] - 40.0).abs() < 1e-3);
        assert!((due[10_000] - 1_040.0).abs() < 1e-3, "{}", due[10_000]);
    }

    #[test]
    fn the_same_seed_and_number_give_the_same_answer() {
        let settings = Settings { jitter: 0.3, seed: 7, ..Settings::default() };
        assert_eq!(due_ms(&settings, 3, 50), due_ms(&settings, 3, 50));
        assert_ne!(due_ms(&settings, 3, 50), due_ms(&settings, 4, 50));
        let other = Settings { seed: 8, ..settings.clone() };
        assert_ne!(due_ms(&settings, 3, 50), due_ms(&other, 3, 50));
    }

    #[test]
    fn jitter_keeps_the_mean_and_has_the_asked_spread() {
        let jitter = Lognormal::of_mean_1(0.5);
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<f64> = (0..100_000).map(|_| jitter.draw(&mut chance)).collect();
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!((variance.sqrt() - 0.5).abs() < 0.02, "{variance}");
        assert!(drawn.iter().all(|x| x.is_finite() && *x > 0.0));
    }

    #[test]
    fn faults_come_at_their_rates_and_one_a_request() {
        let settings =
            Settings { fault_429: 0.25, fault_cut: 0.5, fault_500: 0.25, ..Settings::default() };
        let faults: Vec<_> =
            (0..4_000).filter_map(|n| Answer::plan(&settings, n, LONG).fault).collect();
        let count = |wanted| faults.iter().filter(|fault| **fault == wanted).count();
        assert_eq!(faults.len(), 4_000);
        assert!((1_800..2_200).contains(&count(Fault::Cut)));
        assert!((850..1_150).contains(&count(Fault::TooManyRequests)));
        assert_eq!(count(Fault::Stall), 0);
    }

    #[test]
    fn an_answer_ends_by_itself_unless_it_must_not() {
        let settings = Settings { output_tokens: Some(30), ..Settings::default() };
        let tokens = |asked| {
            let answer = Answer::plan(&settings, 0, asked);
            (answer.tokens, answer.full_length)
        };
        assert_eq!(tokens(LONG), (30, false));
        assert_eq!(tokens(Length { max_tokens: 8, ..LONG }), (8, true));
        assert_eq!(tokens(Length { min_tokens: 50, ..LONG }), (50, false));
        assert_eq!(tokens(Length { ignore_eos: true, ..LONG }), (100, true));
    }
}

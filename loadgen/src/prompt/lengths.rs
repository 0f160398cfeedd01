//! Lengths as they are drawn for a request.

use shared::{Bell, BellShape, LengthMix, MixPart, TokenLength};

use super::chance::Draws;

/// How often what falls out of its bounds is drawn again, before the mean stands for it.
const MOST_DRAWS: usize = 1_000;

/// Tokens of a prompt, and of its answer where the mix tells: of the part that is drawn.
pub(super) fn draw(mix: &LengthMix, draws: &mut Draws) -> (u32, Option<u32>) {
    let mut left = draws.unit() * 100.0;
    let parts = mix.parts();
    let part = parts
        .iter()
        .find(|part| {
            left -= part.percent;
            left <= 0.0
        })
        .unwrap_or(&parts[parts.len() - 1]);
    let MixPart { prompt, output, .. } = part;
    let prompt = tokens(prompt, shared::MOST_PROMPT_TOKENS, draws);
    (prompt, output.as_ref().map(|output| tokens(output, shared::MaxTokens::MAX, draws)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is converted is below 2^32 and not negative"
)]
fn tokens(length: &TokenLength, most: u32, draws: &mut Draws) -> u32 {
    let Bell { shape, mean, deviation, .. } = match length {
        TokenLength::Fixed(tokens) => return *tokens,
        TokenLength::Uniform { low, high } => {
            return low + draws.below(u64::from(high - low) + 1) as u32;
        }
        TokenLength::Bell(bell) => *bell,
    };
    let bounds = f64::from(length.fewest())..=f64::from(length.most(most));
    let drawn = std::iter::repeat_with(|| match shape {
        BellShape::Normal => mean + deviation * draws.normal(),
        BellShape::LogNormal => {
            // The mean and deviation of the logarithm that give those of the tokens.
            let variance = (deviation / mean).powi(2).ln_1p();
            (mean.ln() - variance / 2.0 + variance.sqrt() * draws.normal()).exp()
        }
    });
    let drawn = drawn.map(f64::round).take(MOST_DRAWS).find(|tokens| bounds.contains(tokens));
    drawn.unwrap_or(mean.round().max(1.0)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::chance::Purpose;

    fn drawn(mix: &str, n: u64) -> Vec<(u32, Option<u32>)> {
        let mix = LengthMix::try_from(mix.to_owned()).unwrap();
        (0..n).map(|nth| draw(&mix, &mut Draws::of_request(Purpose::Choice, 7, 0, nth))).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of some thousands")]
    fn mean_and_deviation(tokens: &[f64]) -> (f64, f64) {
        let n = tokens.len() as f64;
        let mean = tokens.iter().sum::<f64>() / n;
        let variance = tokens.iter().map(|tokens| (tokens - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    #[test]
    fn parts_have_their_shares_and_both_their_lengths() {
        let all = drawn("70% 300/200, 30% 6000", 10_000);
        let chat = all.iter().filter(|lengths| **lengths == (300, Some(200))).count();
        let other = all.iter().filter(|lengths| **lengths == (6_000, None)).count();
        assert_eq!(chat + other, 10_000);
        assert!((6_850..7_150).contains(&chat), "{chat}");
    }

    #[test]
    fn a_uniform_length_takes_every_number_of_its_range() {
        let mut counts = [0; 4];
        for (tokens, _) in drawn("100% uniform(5,8)", 8_000) {
            counts[tokens as usize - 5] += 1;
        }
        assert!(counts.iter().all(|count| (1_850..2_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn bells_have_the_mean_and_deviation_that_were_asked_for() {
        for (mix, mean, deviation) in [
            ("100% normal(5000,300)", 5_000.0, 300.0),
            ("100% lognormal(5000,2500)", 5_000.0, 2_500.0),
        ] {
            let all: Vec<f64> = drawn(mix, 40_000).into_iter().map(|(t, _)| f64::from(t)).collect();
            let (m, d) = mean_and_deviation(&all);
            assert!((m / mean - 1.0).abs() < 0.01, "{mix}: {m}");
            assert!((d / deviation - 1.0).abs() < 0.04, "{mix}: {d}");
        }
    }

    #[test]
    fn what_falls_out_of_its_bounds_is_drawn_again() {
        let all = drawn("100% normal(100,50,80..120)/lognormal(100,300,90..110)", 5_000);
        assert!(all.iter().all(|(prompt, _)| (80..=120).contains(prompt)));
        assert!(all.iter().all(|(_, output)| (90..=110).contains(&output.unwrap())));
        // bounds are cut off, not piled up on
        let at_bound = all.iter().filter(|(prompt, _)| *prompt == 120).count();
        assert!(at_bound < 250, "{at_bound}");
        // hopeless bounds end too
        assert_eq!(drawn("100% normal(100,0.001,100..100)", 3), [(100, None); 3]);
    }
}

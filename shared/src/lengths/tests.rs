use super::*;

fn prompt(written: &str) -> Result<TokenLength, String> {
    TokenLength::of_prompt("prompt_tokens", written).map_err(|refused| refused.to_string())
}

fn mix(written: &str) -> Result<LengthMix, String> {
    LengthMix::try_from(written.to_owned()).map_err(|refused| refused.to_string())
}

#[test]
fn a_length_is_a_number_or_a_distribution() {
    assert_eq!(prompt(" 512 ").unwrap(), TokenLength::Fixed(512));
    assert_eq!(prompt("uniform(100, 500)").unwrap(), TokenLength::Uniform { low: 100, high: 500 });
    let bell =
        |shape, bounds| TokenLength::Bell(Bell { shape, mean: 512.0, deviation: 128.5, bounds });
    assert_eq!(prompt("normal(512,128.5)").unwrap(), bell(BellShape::Normal, None));
    assert_eq!(
        prompt("lognormal(512, 128.5, 64..2048)").unwrap(),
        bell(BellShape::LogNormal, Some((64, 2_048)))
    );
    for written in ["7", "uniform(1,9)", "normal(512,128.5)", "lognormal(512,128,64..2048)"] {
        assert_eq!(prompt(written).unwrap().to_string(), written);
    }
    assert_eq!(prompt("uniform(3,9)").unwrap().fewest(), 3);
    assert_eq!(prompt("normal(50,9)").unwrap().fewest(), 1);
    assert_eq!(prompt("normal(50,9,40..60)").unwrap().most(1_000), 60);
}

#[test]
fn what_is_no_length_says_what_is() {
    let forms = "prompt_tokens must be a number of tokens, uniform(low,high), normal(mean,deviation) or lognormal(mean,deviation), the last two also with bounds as in normal(512,128,64..2048); not ";
    for written in [
        "many",
        "",
        "uniform(1)",
        "uniform(1,2,3)",
        "normal(5)",
        "normal(5,1",
        "gauss(5,1)",
        "normal(5,1,9)",
        "normal(5,1,a..b)",
        "uniform(a,b)",
    ] {
        assert_eq!(prompt(written).unwrap_err(), format!("{forms}`{written}`"));
    }
    let limits =
        |given: &str| format!("prompt_tokens must be between 1 and 262144 tokens, not {given}");
    for (written, given) in [
        ("0", "0"),
        ("-1", "-1"),
        ("262145", "262145"),
        ("1.5", "1.5"),
        ("uniform(0,5)", "0"),
        ("normal(512,0)", "0"),
        ("normal(NaN,1)", "NaN"),
        ("normal(512,1,0..5)", "0"),
    ] {
        assert_eq!(prompt(written).unwrap_err(), limits(given), "{written}");
    }
    assert_eq!(
        prompt("uniform(9,3)").unwrap_err(),
        "prompt_tokens must have its low bound first, unlike `uniform(9,3)`"
    );
    assert_eq!(
        prompt("normal(9,3,10..20)").unwrap_err(),
        "prompt_tokens must have its mean between its bounds, unlike `normal(9,3,10..20)`"
    );
    let output = TokenLength::of_output("output_tokens", "32769").unwrap_err().to_string();
    assert_eq!(output, "output_tokens must be between 1 and 32768 tokens, not 32769");
}

#[test]
fn a_mix_has_shares_that_are_everything() {
    let read =
        mix("70% 300/200, 29.5% normal(6000,500,4000..8000)/uniform(100,400),0.5% 9").unwrap();
    assert_eq!(read.parts().len(), 3);
    assert_eq!(read.fewest_prompt_tokens(), 9);
    assert_eq!(read.parts()[2].output, None);
    let written = "70% 300/200, 29.5% normal(6000,500,4000..8000)/uniform(100,400), 0.5% 9";
    assert_eq!(read.to_string(), written);
    let json = serde_json::to_string(&read).unwrap();
    assert_eq!(json, format!("\"{written}\""));
    assert_eq!(serde_json::from_str::<LengthMix>(&json).unwrap(), read);
}

#[test]
fn what_is_no_mix_says_why() {
    let how = "mix must be parts written as `share% prompt/answer`, with commas between them, as in `70% 300/200, 30% 6000/400`; ";
    for (written, part) in [("", ""), ("300/200", "300/200"), ("100% 1,", ""), ("0% 1", "0% 1")] {
        assert_eq!(mix(written).unwrap_err(), format!("{how}`{part}` is not"));
    }
    assert_eq!(
        mix("70% 300/200, 20% 6000").unwrap_err(),
        "the shares of mix must be 100 % together, not 90 %"
    );
    assert_eq!(mix("100% 1/0").unwrap_err(), "mix must be between 1 and 32768 tokens, not 0");
    assert!(mix("100% x").unwrap_err().starts_with("mix must be a number of tokens, "));
    let many = vec!["4% 1"; 25].join(",");
    assert_eq!(mix(&many).unwrap_err(), "mix must have between 1 and 20 parts, not 25");
}

//! Help and error messages that need no device, word for word.

#[test]
fn help_and_errors_read_as_recorded() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd").run();
}

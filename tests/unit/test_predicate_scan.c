#include "policy/predicate_scan.h"

#include "tests/support/predicate_case.h"

#define SCAN(result)                                                                               \
    "{'scanner':{'uri':'pkg:github/acme/scan@1.4','db':{'lastUpdate':'2025-12-30T00:00:00Z'},"     \
    "'result':" result "},'metadata':{'scanFinishedOn':'2025-12-31T00:00:00Z'}}"
#define FINDING(severity) "{'findings':[{'id':'CVE-1','severity':'" severity "'}]}"

static void scan_judge_cosign_table_agrees(void **state)
{
    static const struct case_row rows[] = {
        {"", SCAN("{}"), GH_CAUSE_NONE},
        {"max_severity=high", SCAN(FINDING("HIGH")), GH_CAUSE_NONE},
        {"max_severity=high", SCAN(FINDING("Critical")), GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=medium", SCAN(FINDING("important")), GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=none", SCAN(FINDING("negligible")), GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=none", SCAN("{'findings':[]}"), GH_CAUSE_NONE},
        {"max_severity=high", SCAN(FINDING("odd")), GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=high;unknown_as=low", SCAN(FINDING("odd")), GH_CAUSE_NONE},
        {"max_severity=low;accept=CVE-1", SCAN(FINDING("critical")), GH_CAUSE_NONE},
        {"max_severity=low;accept=CVE-2", SCAN(FINDING("critical")), GH_VULN_THRESHOLD_EXCEEDED},
        {"max_count=0", SCAN(FINDING("low")), GH_VULN_THRESHOLD_EXCEEDED},
        {"max_count=1", SCAN(FINDING("low")), GH_CAUSE_NONE},
        {"max_count{high=0,low=5", SCAN(FINDING("low")), GH_CAUSE_NONE},
        {"max_count{high=0,low=5", SCAN(FINDING("high")), GH_VULN_THRESHOLD_EXCEEDED},
        {"scanner=pkg:github/acme/scan", SCAN("{}"), GH_CAUSE_NONE},
        {"scanner=pkg:github/acme/scan@1.4", SCAN("{}"), GH_CAUSE_NONE},
        {"scanner=pkg:github/acme/other", SCAN("{}"), GH_POLICY_DENIED},
        {"max_severity=low",
         SCAN("{'Results':[{'Vulnerabilities':[{'VulnerabilityID':'C','Severity':"
              "'LOW'}]},{'Target':'x'}]}"),
         GH_CAUSE_NONE},
        {"max_severity=low",
         SCAN("{'Results':[{'Vulnerabilities':[{'VulnerabilityID':'C','Severity':'HIGH'}]}]}"),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=low", SCAN("{'SchemaVersion':2,'ArtifactName':'x'}"), GH_CAUSE_NONE},
        {"max_severity=low",
         SCAN("{'matches':[{'vulnerability':{'id':'C','severity':'Negligible'}}]}"), GH_CAUSE_NONE},
        {"max_severity=low", SCAN("{'matches':[{'vulnerability':{'id':'C','severity':'Medium'}}]}"),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=low", SCAN("{'summary':{'CRITICAL':0,'LOW':3}}"), GH_CAUSE_NONE},
        {"max_severity=low", SCAN("{'summary':{'CRITICAL':1}}"), GH_VULN_THRESHOLD_EXCEEDED},
        {"max_count=2", SCAN("{'summary':{'LOW':3}}"), GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=low", SCAN("{'summary':{'LOW':-1}}"), GH_PREDICATE_MALFORMED},
        {"max_severity=low", SCAN("{'runs':[]}"), GH_PREDICATE_MALFORMED},
        {"max_severity=low", SCAN("{'findings':7}"), GH_PREDICATE_MALFORMED},
        {"max_severity=low", SCAN("{'findings':[7]}"), GH_PREDICATE_MALFORMED},
        {"max_severity=low", SCAN("'text'"), GH_PREDICATE_MALFORMED},
        {"", SCAN("null"), GH_PREDICATE_MALFORMED},
        {"", "{'scanner':{}}", GH_PREDICATE_MALFORMED},
        {"", "{}", GH_PREDICATE_MALFORMED},
        {"", "null", GH_PREDICATE_MALFORMED},
        {"max_age=2d", SCAN("{}"), GH_CAUSE_NONE},
        {"max_age=12h", SCAN("{}"), GH_VULN_SCAN_STALE},
        {"db_max_age=3d", SCAN("{}"), GH_CAUSE_NONE},
        {"db_max_age=1d", SCAN("{}"), GH_VULN_SCAN_STALE},
        {"db_max_age=1d", "{'scanner':{'result':{}}}", GH_VULN_SCAN_STALE},
    };

    assert_case_table("vulnerability-scan", "https://cosign.sigstore.dev/attestation/vuln/v1", rows,
                      GH_COUNT(rows));
}

static void scan_judge_in_toto_table_agrees(void **state)
{
    static const struct case_row rows[] = {
        {"max_severity=none", SCAN("[]"), GH_CAUSE_NONE},
        {"max_severity=high", SCAN("[{'id':'C','severity':[{'method':'nvd','score':'7.5'}]}]"),
         GH_CAUSE_NONE},
        {"max_severity=medium", SCAN("[{'id':'C','severity':[{'method':'nvd','score':'7.5'}]}]"),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=high",
         SCAN("[{'id':'C','severity':[{'method':'a','score':'1.0'},{'method':'b','score':9.8}]}]"),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=high", SCAN("[{'id':'C','severity':[]}]"), GH_VULN_THRESHOLD_EXCEEDED},
        {"max_severity=low",
         SCAN("[{'vulnerability':{'id':'C','severity':{'method':'m','score':'LOW'}}}]"),
         GH_CAUSE_NONE},
        {"max_severity=low",
         SCAN("[{'vulnerability':{'id':'C','severity':{'method':'m','score':'11'}}}]"),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"", SCAN("{}"), GH_PREDICATE_MALFORMED},
        {"", "{'scanner':{'uri':'x'}}", GH_PREDICATE_MALFORMED},
    };

    assert_case_table("vulnerability-scan", "https://in-toto.io/attestation/vulns/v0.2", rows,
                      GH_COUNT(rows));
}

static void scan_judge_age_bounds_the_answer(void **state)
{
    struct predicate_input input = {.type =
                                        bytes_of("https://cosign.sigstore.dev/attestation/vuln/v1"),
                                    .max_age_s = 7 * 86400};
    int64_t until = 0;

    assert_int_equal(case_judge("vulnerability-scan", "", SCAN("{}"), input, &until),
                     GH_CAUSE_NONE);
    assert_int_equal(until, CASE_NOW - 86400 + 7 * 86400);
    assert_int_equal(
        case_judge("vulnerability-scan", "max_age=2d;db_max_age=60h", SCAN("{}"), input, &until),
        GH_CAUSE_NONE);
    assert_int_equal(until, CASE_NOW - 2 * 86400 + 60 * 3600);
    input.has_proved_time = true;
    input.proved_unix_s = CASE_NOW - 8 * 86400;
    assert_int_equal(case_judge("vulnerability-scan", "", SCAN("{}"), input, &until),
                     GH_VULN_SCAN_STALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan_judge_cosign_table_agrees),
        cmocka_unit_test(scan_judge_in_toto_table_agrees),
        cmocka_unit_test(scan_judge_age_bounds_the_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

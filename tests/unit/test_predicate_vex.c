#include "policy/predicate_vex.h"

#include "tests/support/predicate_case.h"

#define VEX(statements)                                                                            \
    "{'@context':'https://openvex.dev/ns/v0.2.0','@id':'x','author':'A','timestamp':"              \
    "'2025-06-01T00:00:00Z','version':1,'statements':[" statements "]}"
#define SAYS(name, status, more)                                                                   \
    "{'vulnerability':{'name':'" name "'},'products':[{'@id':'pkg:oci/app'}],'status':'" status    \
    "'" more "}"
#define GONE ",'justification':'component_not_present'"
#define AT(time) ",'timestamp':'" time "'"

static void vex_judge_table_agrees(void **state)
{
    static const struct case_row rows[] = {
        {"", VEX(SAYS("CVE-1", "not_affected", GONE)), GH_CAUSE_NONE},
        {"", VEX(SAYS("CVE-1", "fixed", "")), GH_CAUSE_NONE},
        {"", VEX(SAYS("CVE-1", "affected", "")), GH_VULN_THRESHOLD_EXCEEDED},
        {"", VEX(SAYS("CVE-1", "under_investigation", "")), GH_VULN_THRESHOLD_EXCEEDED},
        {"under_investigation=allow", VEX(SAYS("CVE-1", "under_investigation", "")), GH_CAUSE_NONE},
        {"under_investigation=allow", VEX(SAYS("CVE-1", "affected", "")),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"accept=CVE-1", VEX(SAYS("CVE-1", "affected", "")), GH_CAUSE_NONE},
        {"accept=CVE-1", VEX(SAYS("CVE-1", "affected", "") "," SAYS("CVE-2", "affected", "")),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"accept=GHSA-1",
         VEX("{'vulnerability':{'name':'CVE-1','aliases':['GHSA-1']},'status':'affected'}"),
         GH_CAUSE_NONE},
        {"", VEX("{'vulnerability':'CVE-1','status':'fixed'}"), GH_CAUSE_NONE},
        /* taken back later */
        {"",
         VEX(SAYS("CVE-1", "affected", AT("2025-01-01T00:00:00Z")) "," SAYS(
             "CVE-1", "fixed", AT("2025-02-01T00:00:00Z"))),
         GH_CAUSE_NONE},
        {"",
         VEX(SAYS("CVE-1", "fixed", AT("2025-01-01T00:00:00Z")) "," SAYS(
             "CVE-1", "affected", AT("2025-02-01T00:00:00Z"))),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"",
         VEX(SAYS("CVE-1", "affected", AT("2025-01-01T00:00:00Z")) "," SAYS(
             "CVE-1", "fixed", AT("2025-01-01T00:00:00Z"))),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"",
         VEX(SAYS("CVE-1", "affected", AT("2025-01-01T00:00:00Z")) "," SAYS(
             "CVE-1", "fixed", AT("2030-01-01T00:00:00Z"))),
         GH_VULN_THRESHOLD_EXCEEDED},
        {"",
         VEX(SAYS("CVE-1", "affected",
                  AT("2025-01-01T00:00:00Z")) ","
                                              "{'vulnerability':{'name':'CVE-1'},'products':[{'@id'"
                                              ":'other'}],'status':'fixed',"
                                              "'timestamp':'2025-02-01T00:00:00Z'}"),
         GH_VULN_THRESHOLD_EXCEEDED},
        /* not valid */
        {"", VEX(SAYS("CVE-1", "not_affected", "")), GH_VEX_INVALID},
        {"", VEX(SAYS("CVE-1", "not_affected", ",'impact_statement':'none'")), GH_CAUSE_NONE},
        {"", VEX(SAYS("CVE-1", "not_affected", ",'justification':'because'")), GH_VEX_INVALID},
        {"", VEX(SAYS("CVE-1", "safe", "")), GH_VEX_INVALID},
        {"", VEX(SAYS("", "fixed", "")), GH_VEX_INVALID},
        {"", VEX(SAYS("CVE-1", "fixed", AT("yesterday"))), GH_VEX_INVALID},
        {"", VEX("{'vulnerability':{'name':'C'},'status':'fixed','products':7}"), GH_VEX_INVALID},
        {"", VEX("7"), GH_VEX_INVALID},
        {"", VEX(""), GH_VEX_INVALID},
        {"", "{}", GH_VEX_INVALID},
        {"", "[]", GH_VEX_INVALID},
        {"",
         "{'@context':'https://example.test','author':'A','timestamp':'2025-06-01T00:00:00Z',"
         "'statements':[{'vulnerability':'C','status':'fixed'}]}",
         GH_VEX_INVALID},
        {"", "null", GH_PREDICATE_MALFORMED},
    };

    assert_case_table("openvex", "https://openvex.dev/ns", rows, GH_COUNT(rows));
}

#define OF(products)                                                                               \
    VEX("{'vulnerability':{'name':'CVE-1'},'status':'affected','products':[" products "]}")
#define OWN "1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER "2222222222222222222222222222222222222222222222222222222222222222"

static void vex_judge_only_another_digest_is_another_product(void **state)
{
    static const struct {
        const char *text;
        enum gh_cause cause;
    } rows[] = {
        {OF("{'@id':'pkg:oci/app@sha256%3A" OTHER "'}"), GH_CAUSE_NONE},
        {OF("{'@id':'pkg:oci/app@sha256%3A" OWN "'}"), GH_VULN_THRESHOLD_EXCEEDED},
        {OF("{'@id':'x','identifiers':{'purl':'pkg:oci/app@sha256:" OTHER "'}}"), GH_CAUSE_NONE},
        {OF("{'@id':'x','hashes':{'sha-256':'" OTHER "'}}"), GH_CAUSE_NONE},
        {OF("{'@id':'x','hashes':{'sha-256':'" OWN "'}}"), GH_VULN_THRESHOLD_EXCEEDED},
        {OF("{'@id':'pkg:oci/another'}"), GH_VULN_THRESHOLD_EXCEEDED},
        {OF("{'@id':'x','hashes':{'sha-256':'" OTHER "'}},{'@id':'pkg:oci/app'}"),
         GH_VULN_THRESHOLD_EXCEEDED},
        {OF(""), GH_VULN_THRESHOLD_EXCEEDED},
    };
    struct digest subject = {.alg = DIGEST_SHA256};

    memset(subject.value, 0x11, 32);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct predicate_input input = {.type = bytes_of("https://openvex.dev/ns"),
                                        .subject = &subject};

        assert_int_equal(case_judge("openvex", "", rows[i].text, input, NULL), rows[i].cause);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vex_judge_table_agrees),
        cmocka_unit_test(vex_judge_only_another_digest_is_another_product),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

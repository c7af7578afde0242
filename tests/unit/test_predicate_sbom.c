#include "policy/predicate_sbom.h"

#include "tests/support/predicate_case.h"

#define SPDX(packages)                                                                             \
    "{'spdxVersion':'SPDX-2.3','SPDXID':'SPDXRef-DOCUMENT','packages':[" packages "]}"
#define MUSL                                                                                       \
    "{'name':'musl','versionInfo':'1.2.5','licenseConcluded':'MIT','externalRefs':[{"              \
    "'referenceType':'purl','referenceLocator':'pkg:apk/alpine/musl@1.2.5?arch=x86_64'}]}"
#define LICENSED(concluded, declared)                                                              \
    "{'name':'p','licenseConcluded':'" concluded "','licenseDeclared':'" declared "'}"
#define CDX(components)                                                                            \
    "{'bomFormat':'CycloneDX','specVersion':'1.5','components':[" components "]}"
#define OPENSSL                                                                                    \
    "{'name':'openssl','version':'3.0.13','purl':'pkg:deb/debian/openssl@3.0.13','licenses':[{"    \
    "'license':{'id':'Apache-2.0'}}],'components':[{'name':'inner','version':'1','licenses':[{"    \
    "'expression':'MIT OR GPL-2.0-only'}]}]}"

static void sbom_judge_spdx_table_agrees(void **state)
{
    static const struct case_row rows[] = {
        {"", SPDX(MUSL), GH_CAUSE_NONE},
        {"", SPDX(""), GH_CAUSE_NONE},
        {"format=SPDX-2.3", SPDX(MUSL), GH_CAUSE_NONE},
        {"format=SPDX-2.2", SPDX(MUSL), GH_POLICY_DENIED},
        {"must_contain=musl", SPDX(MUSL), GH_CAUSE_NONE},
        {"must_contain=musl@1.2.*", SPDX(MUSL), GH_CAUSE_NONE},
        {"must_contain=pkg:apk/alpine/musl", SPDX(MUSL), GH_CAUSE_NONE},
        {"must_contain=pkg:apk/alpine/musl@1.2.5", SPDX(MUSL), GH_CAUSE_NONE},
        {"must_contain=pkg:apk/alpine/musl@1.2.5?arch=x86_64", SPDX(MUSL), GH_CAUSE_NONE},
        {"must_contain=musl,glibc", SPDX(MUSL), GH_POLICY_DENIED},
        {"must_not_contain=glibc", SPDX(MUSL), GH_CAUSE_NONE},
        {"must_not_contain=pkg:apk/**", SPDX(MUSL), GH_POLICY_DENIED},
        {"must_not_contain=mu*", SPDX(MUSL), GH_POLICY_DENIED},
        {"min_components=1", SPDX(MUSL), GH_CAUSE_NONE},
        {"min_components=2", SPDX(MUSL), GH_POLICY_DENIED},
        {"licences=MIT,Apache-2.0", SPDX(MUSL), GH_CAUSE_NONE},
        {"licences=Apache-2.0", SPDX(MUSL), GH_POLICY_DENIED},
        {"denied_licences=MIT", SPDX(MUSL), GH_POLICY_DENIED},
        {"denied_licences=GPL-*", SPDX(MUSL), GH_CAUSE_NONE},
        {"licences=MIT", SPDX(LICENSED("NOASSERTION", "MIT")), GH_CAUSE_NONE},
        {"licences=MIT", SPDX(LICENSED("NOASSERTION", "NOASSERTION")), GH_POLICY_DENIED},
        {"licences=MIT,NOASSERTION", SPDX("{'name':'p'}"), GH_CAUSE_NONE},
        {"licences=MIT", SPDX("{'name':'p'}"), GH_POLICY_DENIED},
        {"licences=MIT", SPDX(LICENSED("MIT OR GPL-2.0-only", "")), GH_CAUSE_NONE},
        {"licences=MIT", SPDX(LICENSED("MIT AND GPL-2.0-only", "")), GH_POLICY_DENIED},
        {"licences=MIT", SPDX(LICENSED("(MIT)", "")), GH_CAUSE_NONE},
        {"denied_licences=GPL-*", SPDX(LICENSED("MIT AND (GPL-2.0-only OR BSD-3-Clause)", "")),
         GH_CAUSE_NONE},
        {"denied_licences=GPL-*", SPDX(LICENSED("MIT AND (GPL-2.0-only AND BSD-3-Clause)", "")),
         GH_POLICY_DENIED},
        {"licences=GPL-2.0-only WITH Classpath-exception-2.0",
         SPDX(LICENSED("GPL-2.0-only WITH Classpath-exception-2.0", "")), GH_CAUSE_NONE},
        {"licences=MIT", SPDX(LICENSED("MIT AND", "")), GH_POLICY_DENIED},
        {"licences=MIT", SPDX(LICENSED("MIT )", "")), GH_POLICY_DENIED},
        {"", "{'spdxVersion':'SPDX-2.3','SPDXID':'SPDXRef-X','packages':[]}", GH_SBOM_MALFORMED},
        {"", "{'spdxVersion':'SPDX-9','SPDXID':'SPDXRef-DOCUMENT'}", GH_SBOM_MALFORMED},
        {"", "{'spdxVersion':'SPDX-2.3','SPDXID':'SPDXRef-DOCUMENT','packages':{}}",
         GH_SBOM_MALFORMED},
        {"", SPDX("{'versionInfo':'1'}"), GH_SBOM_MALFORMED},
        {"", SPDX("7"), GH_SBOM_MALFORMED},
        {"", "[]", GH_SBOM_MALFORMED},
        {"", "'SPDXVersion: SPDX-2.3'", GH_CAUSE_NONE},
        {"must_contain=musl", "'SPDXVersion: SPDX-2.3'", GH_SBOM_MALFORMED},
        {"", "'anything'", GH_SBOM_MALFORMED},
        {"", "'{'", GH_SBOM_MALFORMED},
        {"must_contain=a@1",
         "{'@context':'x','@graph':[{'type':'software_Package','name':'a',"
         "'software_packageVersion':'1'},{'type':'CreationInfo'}]}",
         GH_CAUSE_NONE},
        {"licences=MIT", "{'@context':'x','@graph':[]}", GH_SBOM_MALFORMED},
        {"", "{'@graph':[1]}", GH_SBOM_MALFORMED},
    };

    assert_case_table("spdx", "https://spdx.dev/Document", rows, GH_COUNT(rows));
}

static void sbom_judge_cyclonedx_table_agrees(void **state)
{
    static const struct case_row rows[] = {
        {"", CDX(OPENSSL), GH_CAUSE_NONE},
        {"format=CycloneDX-1.*", CDX(OPENSSL), GH_CAUSE_NONE},
        {"format=CycloneDX-1.4", CDX(OPENSSL), GH_POLICY_DENIED},
        {"must_contain=inner@1", CDX(OPENSSL), GH_CAUSE_NONE},
        {"must_not_contain=inner", CDX(OPENSSL), GH_POLICY_DENIED},
        {"must_contain=pkg:deb/debian/openssl", CDX(OPENSSL), GH_CAUSE_NONE},
        {"min_components=2", CDX(OPENSSL), GH_CAUSE_NONE},
        {"min_components=3", CDX(OPENSSL), GH_POLICY_DENIED},
        {"licences=Apache-2.0,MIT", CDX(OPENSSL), GH_CAUSE_NONE},
        {"licences=Apache-2.0", CDX(OPENSSL), GH_POLICY_DENIED},
        {"denied_licences=GPL-*", CDX(OPENSSL), GH_CAUSE_NONE},
        {"licences=MIT", CDX("{'name':'a'}"), GH_POLICY_DENIED},
        {"licences=MIT", CDX("{'name':'a','type':'operating-system'}"), GH_CAUSE_NONE},
        {"licences=Some licence",
         CDX("{'name':'a','licenses':[{'license':{'name':'Some licence'}}]}"), GH_CAUSE_NONE},
        {"", "{'bomFormat':'Cyclone','specVersion':'1.5'}", GH_SBOM_MALFORMED},
        {"", "{'bomFormat':'CycloneDX'}", GH_SBOM_MALFORMED},
        {"", "{'bomFormat':'CycloneDX','specVersion':'1.5','components':7}", GH_SBOM_MALFORMED},
        {"", CDX("{'version':'1'}"), GH_SBOM_MALFORMED},
    };

    assert_case_table("cyclonedx", "https://cyclonedx.org/bom", rows, GH_COUNT(rows));
}

static void sbom_judge_components_nested_past_limit_refused(void **state)
{
    for (int over = 0; over <= 1; over++) {
        struct predicate_input input = {.type = bytes_of("https://cyclonedx.org/bom")};
        char text[8192] = "{'bomFormat':'CycloneDX','specVersion':'1.5','components':[";
        int depth = PREDICATE_MAX_SBOM_DEPTH + over;

        for (int i = 0; i < depth; i++) {
            strncat(text, "{'name':'a','components':[", sizeof(text) - strlen(text) - 1);
        }
        for (int i = 0; i < depth; i++) {
            strncat(text, "]}", sizeof(text) - strlen(text) - 1);
        }
        strncat(text, "]}", sizeof(text) - strlen(text) - 1);
        assert_int_equal(case_judge("cyclonedx", "", text, input, NULL),
                         over ? GH_COUNT_LIMIT_EXCEEDED : GH_CAUSE_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sbom_judge_spdx_table_agrees),
        cmocka_unit_test(sbom_judge_cyclonedx_table_agrees),
        cmocka_unit_test(sbom_judge_components_nested_past_limit_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "policy/predicate_provenance.h"

#include "tests/support/predicate_case.h"

#define V1(builder, type, repository, ref, path, dep, commit)                                      \
    "{'buildDefinition':{'buildType':'" type                                                       \
    "','externalParameters':{'workflow':{'repository':'" repository "','ref':'" ref                \
    "','path':'" path "'}},'resolvedDependencies':[{'uri':'" dep                                   \
    "','digest':{'gitCommit':'" commit "'}}]},'runDetails':{'builder':{'id':'" builder             \
    "'},'metadata':{'finishedOn':'2025-12-31T00:00:00Z'}}}"
#define COMMIT "3f2c9d1e8b7a6c5d4e3f2a1b0c9d8e7f6a5b4c3d"
#define GOOD                                                                                       \
    V1("https://ci.example/v2", "https://ci.example/type/v1", "https://github.com/acme/app",       \
       "refs/heads/main", ".ci/release.yml", "git+https://github.com/acme/app@refs/heads/main",    \
       COMMIT)
#define V02(builder, uri, commit, entry, material)                                                 \
    "{'builder':{'id':'" builder "'},'buildType':'https://ci.example/type/v1','invocation':{"      \
    "'configSource':{'uri':'" uri "','digest':{'sha1':'" commit "'},'entryPoint':'" entry          \
    "'}},'materials':[{'uri':'" uri "','digest':{'sha1':'" material "'}}]}"

static void provenance_judge_v1_table_agrees(void **state)
{
    static const struct case_row rows[] = {
        {"", GOOD, GH_CAUSE_NONE},
        {"builder=https://ci.example/v2", GOOD, GH_CAUSE_NONE},
        {"builder=https://ci.example/*", GOOD, GH_CAUSE_NONE},
        {"builder=https://other/x,https://ci.example/v2", GOOD, GH_CAUSE_NONE},
        {"builder=https://ci.example", GOOD, GH_BUILDER_MISMATCH},
        {"builder=https://ci.example/v", GOOD, GH_BUILDER_MISMATCH},
        {"build_type=https://ci.example/type/v1", GOOD, GH_CAUSE_NONE},
        {"build_type=https://ci.example/type/v2", GOOD, GH_BUILD_TYPE_MISMATCH},
        {"source=https://github.com/acme/app", GOOD, GH_CAUSE_NONE},
        {"source=https://github.com/acme/app.git", GOOD, GH_CAUSE_NONE},
        {"source=git+https://github.com/acme/app", GOOD, GH_CAUSE_NONE},
        {"source=github.com/acme/app", GOOD, GH_CAUSE_NONE},
        {"source=https://github.com/acme/*", GOOD, GH_CAUSE_NONE},
        {"source=https://github.com/acme/ap", GOOD, GH_SOURCE_MISMATCH},
        {"source=https://github.com/Acme/app", GOOD, GH_SOURCE_MISMATCH},
        {"source=https://github.com/*", GOOD, GH_SOURCE_MISMATCH},
        {"ref=refs/heads/main", GOOD, GH_CAUSE_NONE},
        {"ref=refs/tags/v*", GOOD, GH_SOURCE_REF_MISMATCH},
        {"commit=" COMMIT, GOOD, GH_CAUSE_NONE},
        {"commit=0000000000000000000000000000000000000000", GOOD, GH_SOURCE_REF_MISMATCH},
        {"workflow=.ci/release.yml", GOOD, GH_CAUSE_NONE},
        {"workflow=.ci/*.yml", GOOD, GH_CAUSE_NONE},
        {"workflow=.ci/other.yml", GOOD, GH_WORKFLOW_MISMATCH},
        {"level=1", GOOD, GH_CAUSE_NONE},
        {"level=2", GOOD, GH_SLSA_LEVEL_INSUFFICIENT},
        {"level=3;builder_levels{https://ci.example/*=3", GOOD, GH_CAUSE_NONE},
        {"level=3;builder_levels{https://ci.example/*=3,https://**=2", GOOD,
         GH_SLSA_LEVEL_INSUFFICIENT},
        {"level=1;builder_levels{https://ci.example/*=0", GOOD, GH_SLSA_LEVEL_INSUFFICIENT},
        {"", "{}", GH_PREDICATE_MALFORMED},
        {"", "[]", GH_PREDICATE_MALFORMED},
        {"", "null", GH_PREDICATE_MALFORMED},
        {"", "{'runDetails':{'builder':{'id':7}}}", GH_PREDICATE_MALFORMED},
        {"source=**", "{'buildDefinition':{'buildType':'t'},'runDetails':{'builder':{'id':'b'}}}",
         GH_SOURCE_MISMATCH},
        {"commit=*",
         V1("b", "t", "https://h/r", "refs/heads/main", "p", "git+https://h/other", COMMIT),
         GH_SOURCE_REF_MISMATCH},
        {"commit=*", V1("b", "t", "https://h/r", "refs/heads/main", "p", "https://h/r", "HEAD"),
         GH_SOURCE_REF_MISMATCH},
        {"source=https://github.com/a/b",
         V1("b", "t", "HTTPS://GitHub.com/a/b.git", "r", "p", "x", COMMIT), GH_CAUSE_NONE},
    };

    assert_case_table("slsa-provenance", PREDICATE_TYPE_SLSA_V1, rows, GH_COUNT(rows));
}

static void provenance_judge_v02_table_agrees(void **state)
{
#define GOOD02                                                                                     \
    V02("https://ci.example/v2", "git+https://git@github.com/acme/app.git@refs/heads/main",        \
        COMMIT, ".ci/release.yml", COMMIT)
    static const struct case_row rows[] = {
        {"", GOOD02, GH_CAUSE_NONE},
        {"builder=https://ci.example/v2", GOOD02, GH_CAUSE_NONE},
        {"builder=https://ci.example/v3", GOOD02, GH_BUILDER_MISMATCH},
        {"source=https://git@github.com/acme/app", GOOD02, GH_CAUSE_NONE},
        {"source=https://github.com/acme/other", GOOD02, GH_SOURCE_MISMATCH},
        {"ref=refs/heads/main", GOOD02, GH_CAUSE_NONE},
        {"ref=refs/heads/other", GOOD02, GH_SOURCE_REF_MISMATCH},
        {"commit=" COMMIT, GOOD02, GH_CAUSE_NONE},
        {"workflow=.ci/release.yml", GOOD02, GH_CAUSE_NONE},
        {"workflow=.ci/x.yml", GOOD02, GH_WORKFLOW_MISMATCH},
        {"", V02("b", "git+https://h/r@x", COMMIT, "e", "0000000000000000000000000000000000000000"),
         GH_SOURCE_MISMATCH},
        {"", "{'builder':{'id':'b'}}", GH_PREDICATE_MALFORMED},
    };

    assert_case_table("slsa-provenance", PREDICATE_TYPE_SLSA_V02, rows, GH_COUNT(rows));
}

#define WITH(parameters)                                                                           \
    "{'buildDefinition':{'buildType':'t','externalParameters':" parameters                         \
    "},'runDetails':{'builder':{'id':'https://ci.example/v2'}}}"
#define GIT "'workflow':{'repository':'https://h/r','ref':'refs/heads/main','path':'p'}"
#define WITH02(more)                                                                               \
    "{'builder':{'id':'https://ci.example/"                                                        \
    "v2'},'buildType':'t','invocation':{'configSource':{'uri'"                                     \
    ":'https://h/r','entryPoint':'e'}" more "}"
#define LEVEL3 "level=3;builder_levels{https://ci.example/*=3"

static void provenance_judge_parameters_unexpected_refused(void **state)
{
    static const struct case_row rows[] = {
        /* nothing is asked: not looked at */
        {"", WITH("{'inputs':{'x':'1'}}"), GH_CAUSE_NONE},
        {"level=2;builder_levels{https://ci.example/*=3", WITH("{'inputs':{'x':'1'}}"),
         GH_CAUSE_NONE},
        /* level 3 asks by itself */
        {LEVEL3, WITH("{" GIT "}"), GH_CAUSE_NONE},
        {LEVEL3, WITH("{" GIT ",'inputs':{},'vars':null,'args':[]}"), GH_CAUSE_NONE},
        {LEVEL3, WITH("{" GIT ",'inputs':{'x':'1'}}"), GH_PARAMETERS_UNEXPECTED},
        {LEVEL3, WITH("{" GIT ",'inputs':{'x':''}}"), GH_PARAMETERS_UNEXPECTED},
        {LEVEL3, WITH("{" GIT ",'inputs':{'x':false}}"), GH_PARAMETERS_UNEXPECTED},
        {LEVEL3, WITH("{" GIT ",'args':['--fast']}"), GH_PARAMETERS_UNEXPECTED},
        {LEVEL3, WITH("{" GIT ",'debug':1}"), GH_PARAMETERS_UNEXPECTED},
        {LEVEL3, WITH("'x'"), GH_PARAMETERS_UNEXPECTED},
        /* a second source beside the one that was judged */
        {LEVEL3, WITH("{" GIT ",'source':'https://h/other'}"), GH_PARAMETERS_UNEXPECTED},
        {LEVEL3, WITH("{" GIT ",'configSource':{'path':'other'}}"), GH_PARAMETERS_UNEXPECTED},
        {LEVEL3, WITH("{" GIT ",'configSource':{'path':'p'}}"), GH_CAUSE_NONE},
        {LEVEL3, WITH("{'source':{'uri':'https://h/r','digest':{'sha1':'" COMMIT "'}}}"),
         GH_CAUSE_NONE},
        {LEVEL3, WITH("{'source':{'uri':'https://h/r','digest':{'sha1':'" COMMIT "','md5':'0'}}}"),
         GH_PARAMETERS_UNEXPECTED},
        /* expected by value */
        {"parameters{/inputs/x=1", WITH("{" GIT ",'inputs':{'x':'1'}}"), GH_CAUSE_NONE},
        {"parameters{/inputs/x=1", WITH("{" GIT ",'inputs':{'x':1}}"), GH_CAUSE_NONE},
        {"parameters{/inputs/x=true", WITH("{" GIT ",'inputs':{'x':true}}"), GH_CAUSE_NONE},
        {"parameters{/inputs/x=2", WITH("{" GIT ",'inputs':{'x':'1'}}"), GH_PARAMETERS_UNEXPECTED},
        {"parameters{/inputs/x=1", WITH("{" GIT ",'inputs':{'x':'11'}}"), GH_PARAMETERS_UNEXPECTED},
        {"parameters{/inputs/x=1", WITH("{" GIT ",'inputs':{'x':'1','y':'1'}}"),
         GH_PARAMETERS_UNEXPECTED},
        {"parameters{/inputs/x=1", WITH("{" GIT "}"), GH_PARAMETERS_UNEXPECTED},
        {"parameters{/inputs/*=rel-*", WITH("{" GIT ",'inputs':{'x':'rel-1','y':'rel-2'}}"),
         GH_CAUSE_NONE},
        {"parameters{/inputs/*=1", WITH("{" GIT ",'inputs':{'x':{'y':'1'}}}"),
         GH_PARAMETERS_UNEXPECTED},
        {"parameters{/args/0=a", WITH("{" GIT ",'args':['a']}"), GH_CAUSE_NONE},
        {"parameters{/a~1b/c~0d=1", WITH("{" GIT ",'a/b':{'c~d':'1'}}"), GH_CAUSE_NONE},
        {"parameters{/a/b=1", WITH("{" GIT ",'a/b':'1'}"), GH_PARAMETERS_UNEXPECTED},
        /* an expectation binds what is known or ignored, too */
        {"parameters{/workflow/ref=refs/tags/*", WITH("{" GIT "}"), GH_PARAMETERS_UNEXPECTED},
        {"parameters{/inputs/x=1;ignore_parameters=/inputs", WITH("{" GIT ",'inputs':{'x':'2'}}"),
         GH_PARAMETERS_UNEXPECTED},
        /* ignored, with all below */
        {LEVEL3 ";ignore_parameters=/inputs,/vars",
         WITH("{" GIT ",'inputs':{'x':{'y':[1,2]}},'vars':'v'}"), GH_CAUSE_NONE},
        {"ignore_parameters=/inputs", WITH("{" GIT ",'inputs2':'1'}"), GH_PARAMETERS_UNEXPECTED},
        {"ignore_parameters=/inputs/*", WITH("{" GIT ",'inputs':{'x':'1'},'vars':{'x':'1'}}"),
         GH_PARAMETERS_UNEXPECTED},
        {"ignore_parameters=/**", WITH("{" GIT ",'inputs':{'x':'1'},'vars':{'x':'1'}}"),
         GH_CAUSE_NONE},
    };

    assert_case_table("slsa-provenance", PREDICATE_TYPE_SLSA_V1, rows, GH_COUNT(rows));
}

static void provenance_judge_v02_parameters_unexpected_refused(void **state)
{
    static const struct case_row rows[] = {
        {LEVEL3, WITH02("}"), GH_CAUSE_NONE},
        {LEVEL3, WITH02(",'parameters':{}}"), GH_CAUSE_NONE},
        {LEVEL3, WITH02(",'parameters':{'x':'1'}}"), GH_PARAMETERS_UNEXPECTED},
        {LEVEL3, WITH02(",'parameters':['x']}"), GH_PARAMETERS_UNEXPECTED},
        {"parameters{/x=1", WITH02(",'parameters':{'x':'1'}}"), GH_CAUSE_NONE},
        {"ignore_parameters=/x", WITH02(",'parameters':{'x':'1'}}"), GH_CAUSE_NONE},
        {LEVEL3, WITH02("},'metadata':{'completeness':{'parameters':true}}"), GH_CAUSE_NONE},
        {LEVEL3, WITH02("},'metadata':{'completeness':{'parameters':false}}"),
         GH_PARAMETERS_UNEXPECTED},
        {"", WITH02(",'parameters':{'x':'1'}}"), GH_CAUSE_NONE},
    };

    assert_case_table("slsa-provenance", PREDICATE_TYPE_SLSA_V02, rows, GH_COUNT(rows));
}

/* Names that no pattern can hold: refused unless something above is ignored. */
static void provenance_judge_parameters_long_names_bounded(void **state)
{
    char name[3001];
    char *text = NULL;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_true(asprintf(&text,
                         "{'buildDefinition':{'buildType':'t','externalParameters':{'in':{'%s':'1'}"
                         "}},'runDetails':{'builder':{'id':'b'}}}",
                         name) > 0);
    {
        const struct case_row rows[] = {{"ignore_parameters=/x", text, GH_PARAMETERS_UNEXPECTED},
                                        {"ignore_parameters=/in", text, GH_CAUSE_NONE}};

        assert_case_table("slsa-provenance", PREDICATE_TYPE_SLSA_V1, rows, GH_COUNT(rows));
    }
    free(text);
}

static void provenance_compile_parameters_shapes(void **state)
{
    static const char *const bad[] = {"parameters=x", "parameters=x,y", "ignore_parameters{/x=1"};
    struct predicate_check *check = NULL;

    for (size_t i = 0; i < GH_COUNT(bad); i++) {
        assert_int_equal(case_compile("slsa-provenance", bad[i], &check), GH_POLICY_DENIED);
        assert_null(check);
    }
}

#define GENERATOR                                                                                  \
    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/"                   \
    "generator_container_slsa3.yml@refs/tags/v2.0.0"
#define GITHUB "https://token.actions.githubusercontent.com"
#define HOSTED "https://github.com/actions/runner/github-hosted"
#define GITHUB_TYPE "https://actions.github.io/buildtypes/workflow/v1"

static enum gh_cause judge_signed(const char *options, const char *text,
                                  const struct predicate_signer *signer)
{
    struct predicate_input input = {.type = bytes_of(PREDICATE_TYPE_SLSA_V1), .signer = signer};

    return case_judge("slsa-provenance", options, text, input, NULL);
}

static void provenance_judge_generator_signed_by_another_refused(void **state)
{
    struct predicate_signer signer = {.issuer = bytes_of(GITHUB), .identity = bytes_of(GENERATOR)};
    const char *text = V1(GENERATOR, "t", "https://h/r", "r", "p", "x", COMMIT);

    assert_int_equal(judge_signed("level=3", text, &signer), GH_CAUSE_NONE);
    assert_int_equal(judge_signed("level=3", text, NULL), GH_SLSA_LEVEL_INSUFFICIENT);
    signer.identity =
        bytes_of("https://github.com/acme/app/.github/workflows/x.yml@refs/heads/main");
    assert_int_equal(judge_signed("", text, &signer), GH_PROVENANCE_SIGNER_MISMATCH);
    signer.identity = bytes_of(GENERATOR);
    signer.issuer = bytes_of("https://issuer.example");
    assert_int_equal(judge_signed("level=2", text, &signer), GH_SLSA_LEVEL_INSUFFICIENT);
}

static void provenance_judge_generator_at_branch_is_level_one(void **state)
{
#define AT_BRANCH                                                                                  \
    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/x.yml@refs/heads/x"
    struct predicate_signer signer = {.issuer = bytes_of(GITHUB), .identity = bytes_of(AT_BRANCH)};

    assert_int_equal(
        judge_signed("level=2", V1(AT_BRANCH, "t", "https://h/r", "r", "p", "x", COMMIT), &signer),
        GH_SLSA_LEVEL_INSUFFICIENT);
}

static void provenance_judge_hosted_runner_is_level_two(void **state)
{
    struct predicate_signer signer = {.issuer = bytes_of(GITHUB),
                                      .identity = bytes_of("https://github.com/acme/app/x@y"),
                                      .runner_environment = bytes_of("github-hosted")};
    const char *text = V1(HOSTED, "t", "https://h/r", "r", "p", "x", COMMIT);

    assert_int_equal(judge_signed("level=2", text, &signer), GH_CAUSE_NONE);
    assert_int_equal(judge_signed("level=3", text, &signer), GH_SLSA_LEVEL_INSUFFICIENT);
    signer.runner_environment = bytes_of("self-hosted");
    assert_int_equal(judge_signed("", text, &signer), GH_PROVENANCE_SIGNER_MISMATCH);
    signer.runner_environment = bytes_make(NULL, 0);
    assert_int_equal(judge_signed("level=2", text, &signer), GH_SLSA_LEVEL_INSUFFICIENT);
}

static void provenance_judge_certificate_of_another_run_refused(void **state)
{
    const struct predicate_signer good = {
        .issuer = bytes_of(GITHUB),
        .identity = bytes_of("https://github.com/acme/app/.ci/release.yml@refs/heads/main"),
        .source_repository = bytes_of("https://github.com/acme/app"),
        .source_commit = bytes_of(COMMIT),
        .source_ref = bytes_of("refs/heads/main"),
        .build_config = bytes_of("https://github.com/acme/app/.ci/release.yml@refs/heads/main")};
    const char *text =
        V1("b", GITHUB_TYPE, "https://github.com/acme/app", "refs/heads/main", ".ci/release.yml",
           "git+https://github.com/acme/app@refs/heads/main", COMMIT);
    struct predicate_signer other;

    assert_int_equal(judge_signed("", text, &good), GH_CAUSE_NONE);
    other = good;
    other.source_repository = bytes_of("https://github.com/evil/app");
    assert_int_equal(judge_signed("", text, &other), GH_SOURCE_MISMATCH);
    other = good;
    other.source_ref = bytes_of("refs/heads/evil");
    assert_int_equal(judge_signed("", text, &other), GH_SOURCE_REF_MISMATCH);
    other = good;
    other.source_commit = bytes_of("0000000000000000000000000000000000000000");
    assert_int_equal(judge_signed("", text, &other), GH_SOURCE_REF_MISMATCH);
    other = good;
    other.build_config = bytes_of("https://github.com/acme/app/.ci/evil.yml@refs/heads/main");
    assert_int_equal(judge_signed("", text, &other), GH_WORKFLOW_MISMATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(provenance_judge_v1_table_agrees),
        cmocka_unit_test(provenance_judge_parameters_unexpected_refused),
        cmocka_unit_test(provenance_judge_v02_parameters_unexpected_refused),
        cmocka_unit_test(provenance_judge_parameters_long_names_bounded),
        cmocka_unit_test(provenance_compile_parameters_shapes),
        cmocka_unit_test(provenance_judge_v02_table_agrees),
        cmocka_unit_test(provenance_judge_generator_signed_by_another_refused),
        cmocka_unit_test(provenance_judge_generator_at_branch_is_level_one),
        cmocka_unit_test(provenance_judge_hosted_runner_is_level_two),
        cmocka_unit_test(provenance_judge_certificate_of_another_run_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

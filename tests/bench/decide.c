/*
 * CPU time of one decision with cached verdicts, and of loading a configuration, by the number of
 * policies. Usage: bench_decide [POLICIES…]; default 1 100 10000.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metrics/text.h"
#include "policy/decide.h"
#include "tests/support/memory_loader.h"

#define BENCH_NOW INT64_C(1795219200)
#define BENCH_ROUNDS 200000
#define BENCH_SHA "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static double bench_cpu(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static char *bench_config(size_t policies)
{
    struct text text;
    char *out;

    text_init(&text, 64u << 20);
    text_put(&text, "upstreams: {ghcr.io: {url: https://ghcr.io}}\n"
                    "signers: {a: {keys: [{file: a.pub}]}, b: {keys: [{file: b.pub}]}}\n"
                    "exceptions: x.yaml\nexceptions_approvers: [sec]\npolicies:\n");
    for (size_t i = 0; i < policies; i++) {
        text_printf(&text,
                    "- name: team-%zu\n  owner: team-%zu@acme.example\n"
                    "  images: [\"ghcr.io/team-%zu/**\"]\n"
                    "  require: [{any: [{signature: a}, {signature: b}]}]\n",
                    i, i, i);
    }
    out = text_take(&text);
    text_done(&text);
    return out;
}

static char *bench_register(size_t exceptions)
{
    struct text text;
    char *out;

    text_init(&text, 64u << 20);
    text_put(&text, "exceptions:\n");
    for (size_t i = 0; i < exceptions; i++) {
        text_printf(&text,
                    "- id: EXC-%zu\n  images: [\"ghcr.io/team-%zu/legacy\"]\n"
                    "  policies: [team-%zu]\n  owner: jane\n  approved_by: sec\n"
                    "  justification: vendor\n  created: 2026-11-01\n  expires: 2026-12-15\n",
                    i, i, i);
    }
    out = text_take(&text);
    text_done(&text);
    return out;
}

static void bench_decisions(const struct config *config, size_t policies)
{
    char name[64];
    struct decide_image image = {.name = name, .tag = "v1"};
    struct gh_error err = {0};
    struct verdict *good = verdict_new();
    const struct verdict *verdicts[2] = {good, good};
    struct decide_input input = {.verdicts = verdicts};
    size_t allowed = 0;
    double start;
    double spent;

    (void)snprintf(name, sizeof(name), "ghcr.io/team-%zu/app", policies / 2);
    if (good == NULL || !digest_parse(bytes_of(BENCH_SHA), &image.digest, &err)) {
        exit(1);
    }
    good->outcome = VERDICT_SATISFIED;
    good->until_unix_s = INT64_MAX;
    start = bench_cpu();
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        struct decide_plan plan;
        struct decision decision;

        if (decide_plan(&config->tenants[0].snapshot, &image, BENCH_NOW, &plan, &err) &&
            decide(&plan, &input, BENCH_NOW, &decision, &err)) {
            allowed += decision.outcome == DECIDE_ALLOW ? 1 : 0;
            decision_done(&decision);
        }
        decide_plan_done(&plan);
    }
    spent = bench_cpu() - start;
    (void)printf("policies %6zu: decision %.3f us of CPU (%zu of %d allowed)\n", policies,
                 spent / BENCH_ROUNDS * 1e6, allowed, BENCH_ROUNDS);
    verdict_unref(good);
}

static void bench_size(size_t policies)
{
    char *config_text = bench_config(policies);
    char *register_text = bench_register(policies);
    struct memory_file files[] = {{"/g/g.yaml", config_text, 0},
                                  {"/g/a.pub", MEMORY_KEY_A, 0},
                                  {"/g/b.pub", MEMORY_KEY_B, 0},
                                  {"/g/x.yaml", register_text, 0}};
    struct memory_loader loader = {.files = files, .count = GH_COUNT(files)};
    struct config_problems problems;
    double start = bench_cpu();
    struct config *config = memory_load(&loader, BENCH_NOW, &problems);
    double spent = bench_cpu() - start;

    if (config == NULL) {
        memory_print(&problems);
        exit(1);
    }
    (void)printf("policies %6zu, exceptions %6zu: load %.1f ms of CPU\n", policies, policies,
                 spent * 1e3);
    bench_decisions(config, policies);
    config_unref(config);
    config_problems_done(&problems);
    free(config_text);
    free(register_text);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        bench_size(1);
        bench_size(100);
        bench_size(10000);
    }
    for (int i = 1; i < argc; i++) {
        bench_size((size_t)strtoul(argv[i], NULL, 10));
    }
    return 0;
}

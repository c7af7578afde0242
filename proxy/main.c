#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crypto/sjson.h"
#include "gatehouse.h"
#include "proxy/command_audit.h"
#include "proxy/command_check.h"
#include "proxy/command_exceptions.h"
#include "proxy/command_explain.h"
#include "proxy/command_policy.h"
#include "proxy/command_replay.h"
#include "proxy/command_trust.h"
#include "proxy/command_verify.h"
#include "proxy/serving.h"
#include "proxy/tuf_command.h"
#include "proxy/verify_bundle.h"

static const char main_serve_help[] =
    "usage: gatehouse serve -c FILE\n"
    "\n"
    "Runs the gateway. It listens once it is ready; SIGHUP reloads the configuration, SIGTERM "
    "ends\n"
    "it after what is under way (20 s at most), SIGUSR1 opens the logs again.\n";

/* -c FILE or --config FILE, and nothing else. NULL: wrong usage. */
static const char *main_config(int argc, char **argv)
{
    if (argc == 3 && (strcmp(argv[1], "-c") == 0 || strcmp(argv[1], "--config") == 0)) {
        return argv[2];
    }
    return NULL;
}

static int main_serve(int argc, char **argv)
{
    const char *file = main_config(argc, argv);

    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(main_serve_help, stdout);
        return 0;
    }
    if (file == NULL) {
        (void)fputs(main_serve_help, stderr);
        return 2;
    }
    return serving_run(file);
}

static const struct {
    const char *verb;
    int (*run)(int argc, char **argv);
    const char *help;
} main_verbs[] = {
    {"serve", main_serve, "run the gateway"},
    {"check", command_check, "find every fault of a configuration"},
    {"verify", command_verify, "decide about an image, requirement by requirement"},
    {"explain", command_explain, "which policies cover an image, and what they ask"},
    {"why", command_why, "show a decision: what was asked, tried and missing"},
    {"exceptions", command_exceptions, "the exceptions register"},
    {"policy", command_policy, "compare configurations, import policies of other tools"},
    {"audit", command_audit, "check and search audit logs"},
    {"replay", command_replay, "a proposed configuration against recorded decisions"},
    {"trust", command_trust, "roots, keys and lists: their age and end; refresh now"},
    {"verify-bundle", verify_bundle_main, "verify a Sigstore bundle over a file"},
    {"tuf", tuf_command_main, "a TUF client"},
};

/* Verbs of the contract that this version does not have are refused by name. */
static const char *const main_later[] = {
    "rehearse", "client-config", "doctor", "node-verifier", "dct", "evidence", "cache",
};

static bool main_is_later(const char *verb)
{
    for (size_t i = 0; i < GH_COUNT(main_later); i++) {
        if (strcmp(verb, main_later[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void main_help(FILE *out)
{
    (void)fputs("usage: gatehouse VERB [OPTION]...\n"
                "\n"
                "A container registry gateway that verifies what it serves.\n"
                "\n",
                out);
    for (size_t i = 0; i < GH_COUNT(main_verbs); i++) {
        (void)fprintf(out, "  %-14s %s\n", main_verbs[i].verb, main_verbs[i].help);
    }
    (void)fputs("\n`gatehouse VERB --help` says more. Exit status: 0 allowed or done, 1 denied by\n"
                "policy, 2 wrong usage or configuration, 3 could not decide.\n",
                out);
}

int main(int argc, char **argv)
{
    sjson_end_without_memory();
    if (argc < 2) {
        main_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        main_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)puts("gatehouse " GATEHOUSE_VERSION);
        return 0;
    }
    for (size_t i = 0; i < GH_COUNT(main_verbs); i++) {
        if (strcmp(argv[1], main_verbs[i].verb) == 0) {
            return main_verbs[i].run(argc - 1, argv + 1);
        }
    }
    if (main_is_later(argv[1])) {
        (void)fprintf(stderr, "gatehouse: %s: not supported yet\n", argv[1]);
        return 2;
    }
    (void)fprintf(stderr, "gatehouse: there is no verb '%s'\n\n", argv[1]);
    main_help(stderr);
    return 2;
}

/*
 * How the configuration language is described: objects with typed fields. The one description is
 * config_table.c; the reader fills structs from it, and documentation and JSON Schema are printed
 * from it, so that none of them can differ.
 */
#ifndef POLICY_CONFIG_SCHEMA_H
#define POLICY_CONFIG_SCHEMA_H

#include "gatehouse.h"
#include "policy/config.h"
#include "policy/yaml.h"

struct arena;
struct text;

enum config_type {
    CONFIG_TEXT,     /* const char * */
    CONFIG_NAME,     /* const char *; [A-Za-z0-9][A-Za-z0-9._@+-]* */
    CONFIG_PATH,     /* const char *, made relative to the file */
    CONFIG_SECRET,   /* as CONFIG_PATH; the file must not be readable by all */
    CONFIG_INLINE,   /* const char *: "${ENV}" alone; anything else is an inline secret */
    CONFIG_URL,      /* const char *; http or https (file: with is_file_url), no trailing slash */
    CONFIG_ADDRESS,  /* const char *; host:port */
    CONFIG_BOOL,     /* bool */
    CONFIG_INT,      /* int64_t within min..max; `words`, if any, gives 0 */
    CONFIG_SIZE,     /* int64_t bytes */
    CONFIG_DURATION, /* int64_t seconds */
    CONFIG_START,    /* int64_t unix; a date is the start of its day */
    CONFIG_LAST,     /* int64_t unix, inclusive; a date is the last second of its day */
    CONFIG_END,      /* int64_t unix, exclusive; a date is the end of its day */
    CONFIG_ENUM,     /* int: position in `words` */
    CONFIG_TEXTS,    /* struct config_strings; `words` restricts them */
    CONFIG_PATHS,    /* struct config_strings */
    CONFIG_PAIRS,    /* struct config_pairs */
    CONFIG_OBJECT,   /* pointer to the object's struct; NULL when absent */
    CONFIG_OBJECTS,  /* {items, count} of the object's struct */
    CONFIG_NAMED,    /* {items, count} of the object's struct, from a mapping by name */
    CONFIG_ANY       /* const struct yaml_node * */
};

#define CONFIG_REQUIRED 1u
#define CONFIG_LATER 2u     /* in the language, refused as not supported yet */
#define CONFIG_NOT_EMPTY 4u /* an empty list is an error */
#define CONFIG_SCALAR 8u    /* CONFIG_ANY: a scalar */
#define CONFIG_LIST 16u     /* CONFIG_ANY: a list of scalars */
#define CONFIG_PRESENT 32u  /* CONFIG_OBJECT: made with its defaults when absent */
#define CONFIG_FILE_URL 64u /* CONFIG_URL: file: is accepted, too */
#define CONFIG_WORD 128u    /* CONFIG_ANY: one of `words`, or the object */
#define CONFIG_PROCESS 256u /* concerns the process: an error in a tenant's file */

#define CONFIG_MAX_NEAREST 128

struct config_field {
    const char *name;
    enum config_type type;
    unsigned flags;
    size_t offset;
    const char *fallback; /* default, as it would be written; NULL: none */
    const char *words;    /* "deny|warn|audit" */
    int64_t min, max;     /* CONFIG_INT; sizes and durations, too, where max is not 0 */
    const struct config_object *object;
    const char *help; /* one sentence */
};

struct config_object {
    const char *name; /* "upstream": also its name in the JSON Schema */
    size_t size;      /* of its struct, which begins with struct config_at */
    const struct config_field *fields;
    size_t field_count;
    const char *shorthand; /* a scalar in its place is the value of this field; NULL: none */
    const char *one_of;    /* "keys|keyless|notation": exactly one of these keys */
    const char *help;
};

/* The roots of the language: the configuration file and the exceptions register. */
extern const struct config_object config_object_file;
extern const struct config_object config_object_register;

/* Collects problems while a file is read. */
struct config_reader {
    struct arena *arena;
    struct config_problems *problems;
    const struct config_loader *loader;
    const char *file;   /* the file being read */
    const char *folder; /* of that file, without a trailing slash */
    int64_t now_unix_s;
    bool is_out_of_memory;
};

/* Record a problem at NODE (may be NULL: the file as a whole). */
void config_error(struct config_reader *reader, const struct yaml_node *node, const char *format,
                  ...) GH_PRINTF(3, 4);
void config_warning(struct config_reader *reader, const struct yaml_node *node, const char *format,
                    ...) GH_PRINTF(3, 4);
/* At the key of NODE instead of its value. */
void config_error_at_key(struct config_reader *reader, const struct yaml_node *node,
                         const char *format, ...) GH_PRINTF(3, 4);
/* "found …, expected …", with the nearest of WORDS ("a|b", may be NULL). */
void config_error_found(struct config_reader *reader, const struct yaml_node *node,
                        const char *expected, const char *words, const char *what);
/* At a line and column of the file being read. */
void config_problem_add(struct config_reader *reader, enum config_severity severity, uint32_t line,
                        uint32_t column, const char *message, const char *found,
                        const char *expected, const char *nearest);

/*
 * Fill *OUT (object->size bytes, zeroed) from NODE. Faults are recorded; what is faulty keeps its
 * default, so that reading goes on and finds the rest.
 */
void config_read_object(struct config_reader *reader, const struct config_object *object,
                        const struct yaml_node *node, void *out);

/* The scalar grammars, for other readers and for tests. */
bool config_parse_duration(const char *text, int64_t *out_s);
bool config_parse_size(const char *text, int64_t *out_bytes);
/* TYPE: CONFIG_START, CONFIG_LAST or CONFIG_END. */
bool config_parse_time(const char *text, enum config_type type, int64_t *out_unix_s);
/* The word of "a|b|c" nearest to TEXT, or NULL when none is near. */
const char *config_nearest(const char *text, const char *words, char *out, size_t size);

/* The JSON Schema (draft 2020-12) and the reference section of the documentation. */
void config_print_schema(struct text *out);
void config_print_reference(struct text *out);

#endif

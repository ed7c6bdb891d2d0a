/* hello: greet the world, or each NAME, in a language kept in another store path.
 *
 * There is no C library beneath it: the program makes four system calls itself, so an
 * image of it holds nothing but what it names. GREETING is that name, a folder given
 * when compiling; it holds one folder for each language, and `default`.
 */

#ifndef GREETING
#error "compile with -DGREETING=\"/nix/store/…/share/greeting\""
#endif

#define USAGE                                                       \
    "usage: hello [NAME]...\n"                                      \
    "Greet each NAME on a line of its own, or the whole world.\n"   \
    "HELLO_LANGUAGE chooses the language: de, el, en, fr or ja.\n"

enum { STDOUT = 1, STDERR = 2, HERE = -100 /* AT_FDCWD */ };
enum { FAILED = 1, MISUSED = 2 };

#if defined(__x86_64__)

enum { READ = 0, WRITE = 1, EXIT = 60, OPENAT = 257 };

__asm__(".globl _start\n"
        "_start: xor %ebp, %ebp\n"
        "        mov %rsp, %rdi\n"
        "        and $-16, %rsp\n"
        "        call start\n");

static long system_call(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__)

enum { OPENAT = 56, READ = 63, WRITE = 64, EXIT = 93 };

__asm__(".globl _start\n"
        "_start: mov x29, #0\n"
        "        mov x30, #0\n"
        "        mov x0, sp\n"
        "        bl start\n");

static long system_call(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}

#else
#error "hello knows the system calls of x86_64 and aarch64 only"
#endif

static _Noreturn void leave(int status)
{
    for (;;)
        system_call(EXIT, status, 0, 0, 0);
}

static long length(const char *text)
{
    long n = 0;
    while (text[n])
        n++;
    return n;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* What follows `name=` in the environment, or a null pointer. */
static const char *variable(char **environment, const char *name)
{
    for (; *environment; environment++) {
        const char *entry = *environment, *letter = name;
        while (*letter && *entry == *letter)
            entry++, letter++;
        if (!*letter && *entry == '=')
            return entry + 1;
    }
    return 0;
}

static int put(int to, const char *bytes, long size)
{
    while (size > 0) {
        long written = system_call(WRITE, to, (long)bytes, size, 0);
        if (written <= 0)
            return 0;
        bytes += written;
        size -= written;
    }
    return 1;
}

static void complain(const char *text) { put(STDERR, text, length(text)); }

static void print(const char *bytes, long size)
{
    if (!put(STDOUT, bytes, size)) {
        complain("hello: standard output: cannot be written\n");
        leave(FAILED);
    }
}

struct phrase {
    long size;
    char bytes[1024];
};

/* Read one phrase of a language, without the newline at its end. */
static void fetch(struct phrase *phrase, const char *language, const char *name)
{
    long room = sizeof phrase->bytes, got = -1, folder, file;

    phrase->size = 0;
    folder = system_call(OPENAT, HERE, (long)GREETING, 0, 0);
    folder = folder < 0 ? folder : system_call(OPENAT, folder, (long)language, 0, 0);
    file = folder < 0 ? folder : system_call(OPENAT, folder, (long)name, 0, 0);
    while (file >= 0 && phrase->size < room) {
        got = system_call(READ, file, (long)(phrase->bytes + phrase->size), room - phrase->size, 0);
        if (got <= 0)
            break;
        phrase->size += got;
    }
    if (got != 0) { /* not opened, not readable, or no end within the room there is */
        complain("hello: " GREETING "/");
        complain(language);
        complain("/");
        complain(name);
        complain(": cannot be read\n");
        leave(FAILED);
    }
    if (phrase->size > 0 && phrase->bytes[phrase->size - 1] == '\n')
        phrase->size--;
}

/* Print the greeting with the name in the place of its `@`. */
static void greet(const struct phrase *greeting, const char *name, long size)
{
    long at = 0;
    while (at < greeting->size && greeting->bytes[at] != '@')
        at++;
    print(greeting->bytes, at);
    if (at < greeting->size) {
        print(name, size);
        print(greeting->bytes + at + 1, greeting->size - at - 1);
    }
    print("\n", 1);
}

/* The stack as the kernel leaves it: argc, argv, null, environment, null. */
__attribute__((used)) _Noreturn void start(long *stack)
{
    char **arguments = (char **)(stack + 1), **environment = arguments + stack[0] + 1;
    const char *language = variable(environment, "HELLO_LANGUAGE");
    struct phrase greeting;

    if (stack[0] > 0)
        arguments++;
    for (char **argument = arguments; *argument; argument++) {
        if (same(*argument, "--help")) {
            print(USAGE, sizeof USAGE - 1);
            leave(0);
        }
        if (**argument == '-') {
            complain("hello: ");
            complain(*argument);
            complain(": no such option\n" USAGE);
            leave(MISUSED);
        }
    }
    if (!language || !*language)
        language = "default";
    fetch(&greeting, language, "greeting");
    if (!*arguments) {
        struct phrase everyone;
        fetch(&everyone, language, "everyone");
        greet(&greeting, everyone.bytes, everyone.size);
    }
    for (; *arguments; arguments++)
        greet(&greeting, *arguments, length(*arguments));
    leave(0);
}

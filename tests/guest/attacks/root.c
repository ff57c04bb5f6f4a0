/* What root tries on a sealed host, one attempt for each first argument. Exits with 0 when it succeeded, with the errno of
 * what was refused otherwise; 200 says that it could not be tried at all. Called `helper`, it is a program that the kernel
 * starts, tries what such a one would, and leaves a report. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/kexec.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define IMPOSSIBLE 200
#define X32 0x40000000
#define HELPER_REPORT "/run/sealpack-helper"
#define ENFORCE "/sys/kernel/security/ipe/enforce"

static int impossible(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return IMPOSSIBLE;
}

/* A system call by the table of 32-bit programs. */
static long call32(long number, long first, long second, long third) {
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(third) : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}

/* One by x32's, which are those of 64 bits with a bit, and a few of its own. */
static long call_x32(long number, long first, long second, long third) {
    long result = syscall(X32 | number, first, second, third);
    return result < 0 ? -errno : result;
}

static int outcome(long result) {
    return result < 0 ? (int)-result : 0;
}

enum way { NATIVE, INT80, X32_OWN, X32_NATIVE };

/* Makes a device-mapper device by an ioctl of this number, or removes it. */
static int mapper(enum way way, unsigned long number, const char *name) {
    int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return errno == EPERM || errno == EACCES ? errno : impossible("/dev/mapper/control");
    /* Below 4 GiB, for 32-bit calls. */
    struct dm_ioctl *request = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (request == MAP_FAILED)
        return impossible("mmap");
    request->version[0] = 4;
    request->data_size = sizeof *request;
    request->data_start = sizeof *request;
    snprintf(request->name, sizeof request->name, "%s", name);
    long address = (long)request;
    switch (way) {
    case NATIVE: {
        long result = syscall(SYS_ioctl, control, number, address);
        return result < 0 ? errno : 0;
    }
    case INT80:
        return outcome(call32(54, control, (long)number, address));
    case X32_OWN:
        return outcome(call_x32(514, control, (long)number, address));
    default:
        return outcome(call_x32(SYS_ioctl, control, (long)number, address));
    }
}

/* Loads a table, for a target that is no business of Sealpack's, by an ioctl of this number. */
static int load_table(unsigned long number) {
    static const char name[] = "attack-table";
    int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return impossible("/dev/mapper/control");
    struct { struct dm_ioctl head; struct dm_target_spec target; char parameters[8]; } request = {0};
    mapper(NATIVE, DM_DEV_CREATE, name);
    request.head.version[0] = 4;
    request.head.data_size = sizeof request;
    request.head.data_start = sizeof request.head;
    request.head.target_count = 1;
    strcpy(request.head.name, name);
    request.target.length = 8;
    request.target.next = sizeof request.target + sizeof request.parameters;
    strcpy(request.target.target_type, "error");
    int result = syscall(SYS_ioctl, control, number, &request) < 0 ? errno : 0;
    mapper(NATIVE, DM_DEV_REMOVE, name);
    return result;
}

/* Loads another kernel, without an initramfs. */
static int kexec(const char *path) {
    int kernel = open(path, O_RDONLY | O_CLOEXEC);
    if (kernel < 0)
        return impossible(path);
    static const char line[] = "panic=-1";
    long result = syscall(SYS_kexec_file_load, kernel, -1, sizeof line, line, KEXEC_FILE_NO_INITRAMFS);
    if (result < 0)
        return errno;
    syscall(SYS_kexec_file_load, -1, -1, 0, NULL, KEXEC_FILE_UNLOAD);
    return 0;
}

static volatile long target = 1;

/* Another process of root's, of this very program. */
static pid_t victim(void) {
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    return child;
}

static int trace(pid_t child) {
    if (ptrace(PTRACE_ATTACH, child, NULL, NULL) < 0)
        return errno;
    waitpid(child, NULL, 0);
    return 0;
}

static int write_memory(pid_t child) {
    long value = 2;
    struct iovec local = {&value, sizeof value}, remote = {(void *)&target, sizeof target};
    return process_vm_writev(child, &local, 1, &remote, 1, 0) < 0 ? errno : 0;
}

static int write_by_file(pid_t child, const volatile void *address) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)child);
    int memory = open(path, O_RDWR | O_CLOEXEC);
    if (memory < 0)
        return errno;
    /* What is there already: whether it can be written counts. */
    unsigned char byte = *(const volatile unsigned char *)address;
    return pwrite(memory, &byte, 1, (off_t)(uintptr_t)address) < 0 ? errno : 0;
}

static int take_descriptor(pid_t child) {
    int process = (int)syscall(SYS_pidfd_open, child, 0);
    if (process < 0)
        return impossible("pidfd_open");
    return syscall(SYS_pidfd_getfd, process, 0, 0) < 0 ? errno : 0;
}

static int on_victim(int (*attempt)(pid_t)) {
    pid_t child = victim();
    if (child < 0)
        return impossible("fork");
    int result = attempt(child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return result;
}

static int memory_file(pid_t child) {
    return write_by_file(child, &target);
}

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return errno;
    int result = write(file, text, strlen(text)) < 0 ? errno : 0;
    close(file);
    return result;
}

/* Switches IPE off, and on again. */
static int switch_off(void) {
    int result = put(ENFORCE, "0");
    if (!result)
        put(ENFORCE, "1");
    return result;
}

static int open_device(const char *path, int major, int minor) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) {
        if (mknod(path, S_IFCHR | 0600, makedev(major, minor)) < 0)
            return impossible(path);
        file = open(path, O_RDWR | O_CLOEXEC);
    }
    return file < 0 ? errno : 0;
}

/* As the kernel starts it. The report appears whole. */
static int helper(void) {
    FILE *report = fopen(HELPER_REPORT ".new", "we");
    if (!report)
        return errno;
    fprintf(report, "enforce %d\n", switch_off());
    int made = mapper(NATIVE, DM_DEV_CREATE, "attack-helper");
    fprintf(report, "device-mapper %d\n", made);
    if (!made)
        mapper(NATIVE, DM_DEV_REMOVE, "attack-helper");
    fclose(report);
    return rename(HELPER_REPORT ".new", HELPER_REPORT) ? errno : 0;
}

/* Has the kernel look for a key that nobody has, and so for who makes it. */
static int ask_for_key(void) {
    long key = syscall(SYS_request_key, "user", "sealpack-attack", "x", -3);
    return key < 0 && errno != ENOKEY && errno != EKEYREJECTED ? errno : 0;
}

int main(int count, char **arguments) {
    const char *name = strrchr(arguments[0], '/');
    name = name ? name + 1 : arguments[0];
    if (!strcmp(name, "helper") || !strcmp(name, "request-key"))
        return helper();
    if (count < 2) {
        puts("attacked");
        return 0;
    }
    const char *what = arguments[1];
    const char *first = count > 2 ? arguments[2] : "", *second = count > 3 ? arguments[3] : "";
    unsigned long number = strtoul(first, NULL, 0);
    if (!strcmp(what, "mapper"))
        return mapper(NATIVE, number, second);
    if (!strcmp(what, "mapper-int80"))
        return mapper(INT80, number, second);
    if (!strcmp(what, "mapper-x32"))
        return mapper(X32_OWN, number, second);
    if (!strcmp(what, "mapper-x32-native"))
        return mapper(X32_NATIVE, number, second);
    if (!strcmp(what, "load-table"))
        return load_table(number);
    if (!strcmp(what, "call-int80"))
        return outcome(call32(20, 0, 0, 0));
    if (!strcmp(what, "call-x32"))
        return outcome(call_x32(SYS_getpid, 0, 0, 0));
    if (!strcmp(what, "kexec"))
        return kexec(first);
    if (!strcmp(what, "trace"))
        return on_victim(trace);
    if (!strcmp(what, "write-memory"))
        return on_victim(write_memory);
    if (!strcmp(what, "memory-file"))
        return on_victim(memory_file);
    if (!strcmp(what, "take-descriptor"))
        return on_victim(take_descriptor);
    if (!strcmp(what, "own-code"))
        return write_by_file(getpid(), (const volatile void *)(uintptr_t)&helper);
    if (!strcmp(what, "io-ports"))
        return ioperm(0x80, 1, 1) < 0 ? errno : 0;
    if (!strcmp(what, "memory-device"))
        return open_device("/dev/mem", 1, 1);
    if (!strcmp(what, "switch-off"))
        return switch_off();
    if (!strcmp(what, "ask-for-key"))
        return ask_for_key();
    if (!strcmp(what, "wait"))
        for (;;)
            pause();
    if (!strcmp(what, "crash"))
        abort();
    fprintf(stderr, "no such attempt: %s\n", what);
    return IMPOSSIBLE;
}

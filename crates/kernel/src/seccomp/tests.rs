use super::*;

const HERE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };

/// Refuses `number` when the lower half of its first argument, without its lowest bit, is 6.
fn program(number: u32) -> Program {
    let mut assembler = Assembler::default();
    let (refuse, allow) = (assembler.label(), assembler.label());
    assembler.load(Word::Architecture);
    assembler.jump_unless_equal(HERE, refuse);
    assembler.load(Word::Number);
    assembler.jump_if_at_least(0x4000_0000, refuse);
    assembler.jump_unless_equal(number, allow);
    assembler.load(Word::ArgumentLow(0));
    assembler.mask(!1);
    assembler.jump_if_equal(6, refuse);
    assembler.place(allow);
    assembler.end(Verdict::Allow);
    assembler.place(refuse);
    assembler.end(Verdict::Refuse(Errno::XDEV));
    assembler.finish().unwrap()
}

fn call(number: u32, first: u64) -> SystemCall {
    SystemCall { number, architecture: HERE, arguments: [first, 6, 6, 6, 6, 6] }
}

#[test]
fn a_program_judges_by_number_architecture_and_argument() {
    let program = program(100);
    let refused = Verdict::Refuse(Errno::XDEV);
    assert_eq!(program.judge(&call(100, 5)), Verdict::Allow);
    assert_eq!(program.judge(&call(100, 6)), refused);
    assert_eq!(program.judge(&call(100, 0xffff_ffff_0000_0007)), refused);
    assert_eq!(program.judge(&call(100, 8)), Verdict::Allow);
    assert_eq!(program.judge(&call(101, 6)), Verdict::Allow);
    assert_eq!(program.judge(&call(0x4000_0000, 5)), refused);
    assert_eq!(program.judge(&SystemCall { architecture: 0x4000_0003, ..call(101, 5) }), refused);
}

/// The kernel's own machine and the one here have to agree, so each call is made as well as judged.
#[test]
fn the_kernel_judges_as_predicted() {
    crate::alone::run("seccomp::tests::the_kernel_judges_as_predicted", || {
        let number = u32::try_from(libc::SYS_dup).unwrap();
        let program = program(number);
        let kernel = Kernel::new();
        kernel.refuse_new_rights().unwrap();
        kernel.filter_system_calls(&program).unwrap();
        for first in [1, 6, 7, 0x1_0000_0006, 8, 1 << 40] {
            // SAFETY: duplicates a descriptor, or fails; no memory is involved.
            let made = unsafe { libc::syscall(libc::SYS_dup, first as libc::c_long) };
            let is_refused = made == -1
                && std::io::Error::last_os_error().raw_os_error() == Some(Errno::XDEV.raw_os_error());
            let predicted = program.judge(&call(number, first)) == Verdict::Refuse(Errno::XDEV);
            assert_eq!(is_refused, predicted, "{first:#x}");
        }
    });
}

#[test]
fn what_is_no_program_is_refused_before_the_kernel_sees_it() {
    let finished = |write: fn(&mut Assembler)| {
        let mut assembler = Assembler::default();
        write(&mut assembler);
        assembler.finish().unwrap_err()
    };
    assert_eq!(finished(|_| ()), AssemblyError::Open);
    assert_eq!(finished(|program| program.load(Word::Number)), AssemblyError::Open);
    assert_eq!(finished(|program| program.load(Word::ArgumentLow(6))), AssemblyError::NoArgument(6));
    let without_place = |program: &mut Assembler| {
        let label = program.label();
        program.jump_if_equal(1, label);
        program.end(Verdict::Allow);
    };
    assert_eq!(finished(without_place), AssemblyError::NoWay { from: 0 });
    let backwards = |program: &mut Assembler| {
        let label = program.label();
        program.place(label);
        program.jump_if_equal(1, label);
        program.end(Verdict::Allow);
    };
    assert_eq!(finished(backwards), AssemblyError::NoWay { from: 0 });
    let far = |program: &mut Assembler| {
        let label = program.label();
        program.jump_if_equal(1, label);
        (0..256).for_each(|_| program.mask(1));
        program.place(label);
        program.end(Verdict::Kill);
    };
    assert_eq!(finished(far), AssemblyError::TooFar { from: 0, instructions: 256 });
    let long = |program: &mut Assembler| (0..4097).for_each(|_| program.end(Verdict::Allow));
    assert_eq!(finished(long), AssemblyError::TooLong(4097));
}

#[test]
fn a_filter_that_the_kernel_refuses_is_an_error_with_the_call() {
    let kernel = Kernel::with_hook(|_| Some(Errno::ACCESS));
    let error = kernel.filter_system_calls(&program(1)).unwrap_err().to_string();
    assert!(error.starts_with("seccomp(SECCOMP_SET_MODE_FILTER, 0, 10 instructions): EACCES"), "{error}");
}

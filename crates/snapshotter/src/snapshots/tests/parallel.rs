//! Layers that are applied by themselves, each before it has a parent.

use super::*;

/// As containerd from 2.2 on unpacks in parallel: each layer is prepared and applied by itself, and gets its parent when it is
/// committed.
fn unpacked_in_parallel(machine: &Machine, layers: &[Vec<u8>]) -> Vec<String> {
    let ids: Vec<sealpack_format::DiffId> =
        layers.iter().map(|layer| blob(layer).digest.to_string().parse().unwrap()).collect();
    let chains: Vec<String> = sealpack_store::ChainId::all_of(&ids).map(|chain| chain.to_string()).collect();
    let key = |number: usize| format!("ns/{number}/extract-{number} x");
    let mut fetched = 0;
    for (number, layer) in layers.iter().enumerate() {
        let labels = labels(&[("containerd.io/snapshot.ref", &chains[number])]);
        let mounts = machine.prepare(&key(number), "", labels).unwrap();
        // What is read-only at the end is there already.
        if mounts.last().unwrap().options.contains(&"ro".to_owned()) {
            continue;
        }
        fetched += 1;
        let given: Vec<Given<'_>> =
            mounts.iter().map(|it| Given { source: &it.source, options: &it.options }).collect();
        let target = machine.target(&given, &blob(layer)).unwrap();
        machine.apply(&target, &blob(layer), || Ok(layer.as_slice())).unwrap();
    }
    let mut names = vec![format!("{fetched}")];
    for number in 0..layers.len() {
        let name = format!("ns/9{number}/{}", chains[number]);
        let onto =
            if number == 0 { String::new() } else { format!("ns/9{}/{}", number - 1, chains[number - 1]) };
        machine.commit(&name, &key(number), Labels::new(), &onto).unwrap();
        names.push(name);
    }
    names
}

#[test]
fn layers_that_are_applied_in_parallel_get_their_parents_when_they_are_committed() {
    let machine = Machine::new();
    let layers = [tar("base", &[1; 5000]), tar("middle", &[2; 5000]), tar("top", &[3; 5000])];
    let names = unpacked_in_parallel(&machine, &layers);
    let [fetched, lower, middle, upper] = names.as_slice() else { panic!("{names:?}") };
    assert_eq!(fetched, "3");
    assert_eq!(
        (machine.stat(middle).unwrap().parent, machine.stat(upper).unwrap().parent),
        (lower.clone(), middle.clone())
    );
    let chain = |name: &str| machine.state().get(name).unwrap().layered.unwrap().chain.to_string();
    for name in [lower, middle, upper] {
        assert!(name.ends_with(&chain(name)), "{name} is {}", chain(name));
    }
    assert_eq!(directories(&machine), 0);
    machine.prepare("ns/8/c", upper, Labels::new()).unwrap();
    assert_eq!(machine.usage(upper).unwrap().inodes, 1);
}

#[test]
fn of_a_known_chain_a_containerd_that_unpacks_in_parallel_fetches_nothing() {
    let machine = Machine::new();
    let layers = [tar("base", &[1; 5000]), tar("middle", &[2; 5000])];
    let opened = std::cell::Cell::new(0);
    let (lower, lowest_chain) = pulled(&machine, "", &layers[0], &opened);
    let (_, chain) = pulled(&machine, &lower, &layers[1], &opened);
    let target = |chain: &str| labels(&[("containerd.io/snapshot.ref", chain)]);
    // The lowest has no parent in any case.
    assert_eq!(code(machine.prepare("b/1/extract-1 x", "", target(&lowest_chain))), Code::AlreadyExists);
    let mounts = machine.prepare("b/2/extract-2 x", "", target(&chain)).unwrap();
    assert_eq!((mounts[0].fs_type, mounts[0].options[0].as_str()), ("bind", "ro"));
    assert_eq!(machine.stat("b/2/extract-2 x").unwrap().kind, Kind::Active);
    let (below, name) = (lowest_chain, format!("b/3/{chain}"));
    machine.commit(&name, "b/2/extract-2 x", target(&chain), &below).unwrap();
    assert_eq!(machine.stat(&name).unwrap().parent, below);
    machine.prepare("b/4/container", &name, Labels::new()).unwrap();
    // A containerd that does not know what a read-only mount says applies the layer again.
    let mounts = machine.prepare("c/2/extract-2 x", "", target(&chain)).unwrap();
    let given = [Given { source: &mounts[0].source, options: &mounts[0].options }];
    let again = machine.target(&given, &blob(&layers[1])).unwrap();
    machine.apply(&again, &blob(&layers[1]), || Ok(layers[1].as_slice())).unwrap();
    let name = format!("c/3/{chain}");
    machine.commit(&name, "c/2/extract-2 x", target(&chain), &below).unwrap();
    assert_eq!(machine.state().get(&name).unwrap().layered.unwrap().chain.to_string(), chain);
    // Nothing but the container's directory is left; and what is given up leaves nothing.
    machine.prepare("d/2/extract-2 x", "", target(&chain)).unwrap();
    machine.remove("d/2/extract-2 x").unwrap();
    assert_eq!(directories(&machine), 1);
}

#[test]
fn a_layer_that_is_applied_by_itself_takes_the_form_of_those_that_it_comes_to_lie_on() {
    let machine = Machine::new();
    let layers = [tar("base", &[1; 5000]), tar("top", &[2; 5000])];
    let opened = std::cell::Cell::new(0);
    let (lower, _) = pulled(&machine, "", &layers[0], &opened);
    // Another client has it as files.
    let id: sealpack_format::DiffId = blob(&layers[0]).digest.to_string().parse().unwrap();
    let store = machine.store();
    let staging = store.stage().unwrap();
    assert!(staging.convert_layer(&id, sealpack_store::ObjectForm::Files).unwrap());
    staging.commit().unwrap();
    store.hold_chain(&sealpack_store::Chain::new(vec![id], sealpack_store::ObjectForm::Files)).unwrap();
    let mounts = machine.prepare("ns/3/extract-3 x", "", Labels::new()).unwrap();
    let given = [Given { source: &mounts[0].source, options: &mounts[0].options }];
    let target = machine.target(&given, &blob(&layers[1])).unwrap();
    let applied = machine.apply(&target, &blob(&layers[1]), || Ok(layers[1].as_slice())).unwrap();
    let chain = sealpack_store::ChainId::of(&[id, applied.layer]).unwrap();
    let name = format!("ns/4/{chain}");
    machine.commit(&name, "ns/3/extract-3 x", Labels::new(), &lower).unwrap();
    let held = store.held_chain(&chain).unwrap().unwrap();
    for layer in &held.layers {
        assert!(store.has_layer(layer, held.objects).unwrap(), "{layer} as {:?}", held.objects);
    }
    machine.prepare("ns/5/c", &name, Labels::new()).unwrap();
}

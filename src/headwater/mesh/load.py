"""A mesh's folder to one `Mesh`, or to everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headwater import naming
from headwater.contracts.consumer import Consumer
from headwater.contracts.environment import MeshFile
from headwater.contracts.load import (
    MESH_FILE,
    PRODUCT_FILE,
    Contract,
    contract_bytes,
    read_consumer,
    read_mesh_file,
    read_product,
)
from headwater.contracts.product import Output, Product, ProductType
from headwater.errors import CallerFault, Finding, InvalidFiles
from headwater.mesh.envelope import SchemaFile, grid_findings, key_findings, schema_findings
from headwater.mesh.guardable import guard_findings
from headwater.mesh.links import require_inside
from headwater.mesh.products import Mesh, ResolvedOutput, ResolvedProduct
from headwater.mesh.references import Draft, consumer_findings, reference_findings
from headwater.naming import ProductName
from headwater.schemas import tree
from headwater.schemas.annotations import payload_schema, shape_of
from headwater.schemas.avro import parse
from headwater.schemas.versions import standalone

CONNECTORS, STREAMS, CONSUMERS = "connectors", "streams", "consumers"
FLOW_FILE = "flow.py"
SQL_FILE = "flow.sql"  # in its place
MAPPING_FILE = "mapping.py"
SCHEMAS_FOLDER = "schemas/avro"
SCHEMA_BYTES_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Survey:
    """What a folder's files say, whole or not.

    `mesh` holds the products that could be read and whose inputs, and theirs, could be: what is wrong with one product
    hides nothing of the others. It is None without a usable `mesh.yaml`. `contracts` are the files by product, `tree`
    the schemas by full name.
    """

    mesh: Mesh | None
    findings: tuple[Finding, ...]
    contracts: Mapping[ProductName, Contract[Product]] = field(default_factory=dict)
    tree: Mapping[str, tree.SchemaFile] = field(default_factory=dict)


def load_mesh(folder: Path) -> Mesh:
    """The mesh of a folder; raises `InvalidFiles` with all findings of severity error of all its files.

    Raises `CallerFault` HW-C069 where the folder is no mesh at all.
    """
    read = survey(folder)
    if read.mesh is None or any(finding.severity == "error" for finding in read.findings):
        raise InvalidFiles(read.findings)
    return read.mesh


def require_mesh(folder: Path) -> None:
    """Raise `CallerFault` HW-C069 where a folder holds nothing of a mesh: whoever called stands in the wrong place."""
    if not any((folder / name).exists() for name in (MESH_FILE, CONNECTORS, STREAMS)):
        raise CallerFault(
            f"{folder} is no mesh",
            code="HW-C069",
            detail=f"neither it nor a folder above it has a {MESH_FILE}",
            hint="go to the mesh's folder, or name it in HEADWATER_MESH",
        )


def survey(folder: Path) -> Survey:
    """Everything that a folder's files say, and everything that is wrong with them.

    Raises `CallerFault` HW-C069 where it is no mesh, `InvalidFiles` HW-C127 where a link leads out of it.
    """
    require_mesh(folder)
    require_inside(folder, (MESH_FILE, CONNECTORS, STREAMS, SCHEMAS_FOLDER.partition("/")[0], CONSUMERS))
    reading = _FolderReading(folder)
    mesh_file = reading.mesh_file()
    for place, file in reading.product_files():
        reading.product(place, file, mesh_file)
    reads = {name: reading.drafts[name] for name in sorted(reading.drafts)}
    drafts = {name: read.draft for name, read in reads.items()}
    consumers = reading.consumers()
    reading.findings.extend(reference_findings(drafts, frozenset(reading.unread)))
    reading.findings.extend(consumer_findings(consumers, drafts, frozenset(reading.unread)))
    # What could not be parsed at all, and no product names: its finding is found nowhere else.
    told = {finding.file for finding in reading.findings}
    reading.findings.extend(finding for finding in reading.tree_findings if finding.file not in told)
    contracts = {name: draft.contract for name, draft in drafts.items()}
    if mesh_file is None:
        return Survey(None, tuple(reading.findings), contracts, reading.tree)
    whole = {name: _resolved(folder, reads[name]) for name in _whole(reads)}
    named = {consumer.value.name: consumer.value for consumer in consumers if consumer.value is not None}
    return Survey(Mesh(mesh_file, folder, whole, named), tuple(reading.findings), contracts, reading.tree)


def _whole(reads: Mapping[ProductName, _Read]) -> list[ProductName]:
    """The products with a schema whose inputs are such products too; none that goes round in a circle."""
    whole: dict[ProductName, bool] = {}
    for start in reads:
        trail = [start]
        while trail:
            name = trail[-1]
            read = reads.get(name)
            if whole.get(name) is not None:
                trail.pop()
                continue
            if read is None or None in read.schema_files:
                whole[name] = False
                continue
            inputs = [one.product.whole for one in read.draft.product.inputs]
            open_ = [product for product in inputs if product not in whole and product not in trail]
            if open_:
                trail.append(open_[0])
            else:
                whole[name] = all(whole.get(product, False) for product in inputs)
    return [name for name in reads if whole[name]]


@dataclass(frozen=True, slots=True)
class _Read:
    draft: Draft
    schema_files: tuple[SchemaFile | None, ...]


class _FolderReading:
    """One reading of a folder. `unread` are products that stand there but whose contract has findings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.findings: list[Finding] = []
        self.drafts: dict[ProductName, _Read] = {}
        self.unread: set[ProductName] = set()
        self.tree, self.tree_findings = tree.survey_tree(folder / SCHEMAS_FOLDER, root=folder)
        self._by_file = {item.file: item for item in self.tree.values()}

    def mesh_file(self) -> MeshFile | None:
        try:
            contract = read_mesh_file(contract_bytes(self.folder / MESH_FILE, MESH_FILE))
        except InvalidFiles as invalid:
            self.findings.extend(invalid.findings)
            return None
        self.findings.extend(contract.findings)
        return contract.value

    def product_files(self) -> Iterator[tuple[str, str]]:
        """Each product's folder and file, relative to the mesh, in order."""
        for top in (CONNECTORS, STREAMS):
            for path in sorted((self.folder / top).rglob(PRODUCT_FILE)):
                file = path.relative_to(self.folder).as_posix()
                place = file.removesuffix(f"/{PRODUCT_FILE}")
                if place.count("/") == 2:
                    yield place, file
                else:
                    why, fix = (
                        "a product's folder is its identity",
                        f"move it to {top}/<domain>/<product>/{PRODUCT_FILE}",
                    )
                    self._find("HW-C041", file, "the file stands at the wrong depth", why=why, fix=fix)
            for path in sorted((self.folder / top).glob("*/*/")):
                empty = path.is_dir() and not path.name.startswith((".", "_")) and not (path / PRODUCT_FILE).exists()
                if empty and any(path.iterdir()):
                    place = path.relative_to(self.folder).as_posix()
                    why, fix = "a folder here is a product", f"write one, or move the folder out of {top}/"
                    self._find("HW-C043", place, f"the folder has no {PRODUCT_FILE}", why=why, fix=fix)

    def product(self, place: str, file: str, mesh_file: MeshFile | None) -> None:
        top, domain, product_word = place.split("/")
        try:
            contract = read_product(contract_bytes(self.folder / file, file), file=file, folder=place)
        except InvalidFiles as invalid:
            self.findings.extend(invalid.findings)
            self.unread.add(ProductName(domain, product_word))
            return
        if contract.value is None:
            self.findings.extend(contract.findings)
            self.unread.add(ProductName(domain, product_word))
            return
        product = contract.value
        self.findings.extend(_place_findings(contract, product, top, f"{domain}.{product_word}"))
        if str(product.name) != f"{domain}.{product_word}":
            self.unread |= {product.name, ProductName(domain, product_word)}
            return
        if product.name in self.drafts:
            why, fix = f"it is also in {self.drafts[product.name].draft.contract.file}", "keep one of the two folders"
            self.findings.append(
                contract.finding("HW-C042", "product", f"'{product.name}' stands twice", why=why, fix=fix)
            )
            return
        self._database(contract, product, mesh_file)
        flow_there = any((self.folder / place / name).is_file() for name in (FLOW_FILE, SQL_FILE))
        if product.type is not ProductType.SOURCE_ALIGNED and not flow_there:
            why, fix = f"a product of type {product.type} is made by its flow", f"write {place}/{FLOW_FILE}"
            self.findings.append(contract.finding("HW-C055", "type", f"there is no {FLOW_FILE}", why=why, fix=fix))
        mapping_file = self.folder / place / MAPPING_FILE
        if product.capture is not None and not mapping_file.is_file():
            why, fix = "it makes the product's records out of the table's changes", f"write {place}/{MAPPING_FILE}"
            self.findings.append(
                contract.finding("HW-O142", "capture", f"there is no {MAPPING_FILE}", why=why, fix=fix)
            )
        files = tuple(self._schema(contract, product, output, at) for at, output in product.places())
        schemas = tuple(one.schema if one else None for one in files)
        self.drafts[product.name] = _Read(Draft(contract, product, schemas), files)

    def _database(self, contract: Contract[Product], product: Product, mesh_file: MeshFile | None) -> None:
        origin = product.outbox or product.capture
        if origin is None or mesh_file is None or origin.database in mesh_file.databases:
            return
        known = ", ".join(mesh_file.databases) or "none"
        message = f"the database '{origin.database}' is not one of the mesh"
        why, fix = f"{MESH_FILE} names {known}", f"add it to databases in {MESH_FILE}, or name one of those"
        path = "outbox.database" if product.outbox is not None else "capture.database"
        self.findings.append(contract.finding("HW-C054", path, message, why=why, fix=fix))

    def _schema(self, contract: Contract[Product], product: Product, output: Output, at: str) -> SchemaFile | None:
        file = schema_path(product.name, output.schema)
        known = self._by_file.get(file)
        if known is not None:
            read = SchemaFile(file, known.text, known.schema)
            return self._judged(contract, product, output, at, read)
        try:
            with (self.folder / file).open("rb") as opened:
                data = opened.read(SCHEMA_BYTES_LIMIT + 1)
        except OSError:
            beside = sorted(path.stem for path in (self.folder / file).parent.glob("*.avsc"))
            why = f"there is no file {file}"
            fix = f"write schema: {beside[0]}" if len(beside) == 1 else f"write {file}"
            message = f"the schema '{output.schema}' does not exist"
            self.findings.append(contract.finding("HW-C044", f"{at}.schema", message, why=why, fix=fix))
            return None
        try:
            text = data.decode("utf-8")
            read = SchemaFile(file, text, parse(text, file=file))
        except UnicodeDecodeError:
            self._find("HW-C061", file, "the schema is not UTF-8", why="JSON is UTF-8", fix="save it as UTF-8")
            return None
        except InvalidFiles as invalid:
            self.findings.extend(invalid.findings)
            return None
        except CallerFault as error:
            self._find("HW-C062", file, error.message, why=error.detail, fix=error.hint or "mend the schema")
            return None
        return self._judged(contract, product, output, at, read)

    def _judged(
        self, contract: Contract[Product], product: Product, output: Output, at: str, read: SchemaFile
    ) -> SchemaFile | None:
        found = schema_findings(read, product, output)
        keys = key_findings(contract, read, output, at)
        guards = guard_findings(read)
        self.findings += [*found, *keys, *guards, *grid_findings(contract, read, product, output, at)]
        return None if found or keys or guards else read

    def consumers(self) -> list[Contract[Consumer]]:
        """The files of `consumers/`, in order."""
        found = []
        for path in sorted((self.folder / CONSUMERS).glob("*.yaml")):
            file = f"{CONSUMERS}/{path.name}"
            try:
                contract = read_consumer(contract_bytes(path, file), file=file)
            except InvalidFiles as invalid:
                self.findings.extend(invalid.findings)
                continue
            self.findings.extend(contract.findings)
            if contract.value is not None and contract.value.name != path.stem:
                message = f"the consumer is named '{contract.value.name}', and its file says '{path.stem}'"
                why, fix = "a consumer's file is its identity", f"write consumer: {path.stem}, or rename the file"
                self.findings.append(contract.finding("HW-C065", "consumer", message, why=why, fix=fix))
            found.append(contract)
        for path in sorted((self.folder / CONSUMERS).glob("*.yml")):
            why, fix = "a file that is not read protects nobody", f"name it {path.stem}.yaml"
            self._find("HW-C066", f"{CONSUMERS}/{path.name}", "the file's name ends in .yml", why=why, fix=fix)
        return found

    def _find(self, code: str, file: str, message: str, *, why: str, fix: str) -> None:
        self.findings.append(Finding(code, "error", file, 0, 0, "", message, why, fix))


def schema_path(product: ProductName, schema: str) -> str:
    """Where a product's schema stands in its mesh's folder.

    >>> schema_path(ProductName("flights", "departures"), "Departure")
    'schemas/avro/flights/departures/Departure.avsc'
    """
    return f"{SCHEMAS_FOLDER}/{product.domain}/{product.product}/{schema}.avsc"


def _place_findings(contract: Contract[Product], product: Product, top: str, expected: str) -> list[Finding]:
    findings = []
    if str(product.name) != expected:
        message = f"the product is named '{product.name}', and its folder says '{expected}'"
        why, fix = "a product's folder is its identity", f"write product: {expected}, or move the folder"
        findings.append(contract.finding("HW-C040", "product", message, why=why, fix=fix))
    right = CONNECTORS if product.type is ProductType.SOURCE_ALIGNED else STREAMS
    if top != right:
        message = f"a product of type {product.type} stands in {top}/"
        why, fix = f"{CONNECTORS}/ holds source-aligned products, {STREAMS}/ the others", f"move the folder to {right}/"
        findings.append(contract.finding("HW-C063", "type", message, why=why, fix=fix))
    return findings


def _resolved(folder: Path, read: _Read) -> ResolvedProduct:
    product = read.draft.product
    outputs = []
    for index, (output, file) in enumerate(zip(product.outputs, read.schema_files, strict=True)):
        if file is None:
            raise AssertionError("a product without a schema has a finding, and a mesh with findings is not built")
        schema = standalone(file.schema)
        name = product.name.of_output(output.name) if index else product.name
        topic = naming.topic(name, product.major)
        shape, subject = shape_of(schema), naming.subject(topic)
        outputs.append(ResolvedOutput(output, schema, payload_schema(schema), shape, topic, subject))
    return ResolvedProduct(product, tuple(outputs), folder / product.folder)

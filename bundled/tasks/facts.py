"""Facts, real and invented: elements, capitals, an imagined land and an imagined catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from bundled.tasks.task import Line, Task, chat, pair, phrases, rows, text
from bundled.tasks.wheels import Wheels
from bundled.tasks.words import COLOURS, GOODS

# In order of atomic number, from 1.
ELEMENTS = [
    element.split(":")
    for element in """
    H:hydrogen He:helium Li:lithium Be:beryllium B:boron C:carbon N:nitrogen O:oxygen F:fluorine Ne:neon Na:sodium
    Mg:magnesium Al:aluminium Si:silicon P:phosphorus S:sulfur Cl:chlorine Ar:argon K:potassium Ca:calcium Sc:scandium
    Ti:titanium V:vanadium Cr:chromium Mn:manganese Fe:iron Co:cobalt Ni:nickel Cu:copper Zn:zinc Ga:gallium
    Ge:germanium As:arsenic Se:selenium Br:bromine Kr:krypton Rb:rubidium Sr:strontium Y:yttrium Zr:zirconium
    Nb:niobium Mo:molybdenum Tc:technetium Ru:ruthenium Rh:rhodium Pd:palladium Ag:silver Cd:cadmium In:indium Sn:tin
    Sb:antimony Te:tellurium I:iodine Xe:xenon Cs:caesium Ba:barium La:lanthanum Ce:cerium Pr:praseodymium
    Nd:neodymium Pm:promethium Sm:samarium Eu:europium Gd:gadolinium Tb:terbium Dy:dysprosium Ho:holmium Er:erbium
    Tm:thulium Yb:ytterbium Lu:lutetium Hf:hafnium Ta:tantalum W:tungsten Re:rhenium Os:osmium Ir:iridium Pt:platinum
    Au:gold Hg:mercury Tl:thallium Pb:lead Bi:bismuth Po:polonium At:astatine Rn:radon Fr:francium Ra:radium
    Ac:actinium Th:thorium Pa:protactinium U:uranium Np:neptunium Pu:plutonium Am:americium Cm:curium Bk:berkelium
    """.split()
]

# country | capital | continent | a neighbour, or the sea around it
COUNTRIES = rows("""
Albania | Tirana | Europe | Greece
Algeria | Algiers | Africa | Tunisia
Angola | Luanda | Africa | Namibia
Argentina | Buenos Aires | South America | Chile
Armenia | Yerevan | Asia | Georgia
Australia | Canberra | Oceania | the Pacific Ocean
Austria | Vienna | Europe | Hungary
Azerbaijan | Baku | Asia | the Caspian Sea
Bangladesh | Dhaka | Asia | India
Belarus | Minsk | Europe | Lithuania
Belgium | Brussels | Europe | the Netherlands
Bhutan | Thimphu | Asia | China
Botswana | Gaborone | Africa | Zambia
Brazil | Brasilia | South America | Peru
Bulgaria | Sofia | Europe | Romania
Cambodia | Phnom Penh | Asia | Vietnam
Cameroon | Yaounde | Africa | Nigeria
Canada | Ottawa | North America | the United States
Chad | N'Djamena | Africa | Niger
Chile | Santiago | South America | Argentina
Colombia | Bogota | South America | Ecuador
Costa Rica | San Jose | North America | Panama
Croatia | Zagreb | Europe | Slovenia
Cuba | Havana | North America | the Caribbean Sea
Cyprus | Nicosia | Europe | the Mediterranean Sea
Denmark | Copenhagen | Europe | Germany
Ecuador | Quito | South America | Colombia
Egypt | Cairo | Africa | Libya
Estonia | Tallinn | Europe | Latvia
Ethiopia | Addis Ababa | Africa | Kenya
Fiji | Suva | Oceania | the Pacific Ocean
Finland | Helsinki | Europe | Sweden
Gabon | Libreville | Africa | Cameroon
Georgia | Tbilisi | Asia | Armenia
Ghana | Accra | Africa | Togo
Greece | Athens | Europe | Albania
Guatemala | Guatemala City | North America | Mexico
Hungary | Budapest | Europe | Slovakia
Iceland | Reykjavik | Europe | the Atlantic Ocean
India | New Delhi | Asia | Nepal
Iraq | Baghdad | Asia | Jordan
Ireland | Dublin | Europe | the Irish Sea
Jamaica | Kingston | North America | the Caribbean Sea
Japan | Tokyo | Asia | the Sea of Japan
Jordan | Amman | Asia | Iraq
Kenya | Nairobi | Africa | Tanzania
Laos | Vientiane | Asia | Thailand
Latvia | Riga | Europe | Estonia
Lebanon | Beirut | Asia | the Mediterranean Sea
Libya | Tripoli | Africa | Egypt
Lithuania | Vilnius | Europe | Latvia
Madagascar | Antananarivo | Africa | the Indian Ocean
Mali | Bamako | Africa | Senegal
Malta | Valletta | Europe | the Mediterranean Sea
Mexico | Mexico City | North America | Guatemala
Mongolia | Ulaanbaatar | Asia | China
Morocco | Rabat | Africa | Algeria
Mozambique | Maputo | Africa | Malawi
Namibia | Windhoek | Africa | Angola
Nepal | Kathmandu | Asia | India
New Zealand | Wellington | Oceania | the Tasman Sea
Niger | Niamey | Africa | Chad
Norway | Oslo | Europe | Sweden
Oman | Muscat | Asia | Yemen
Panama | Panama City | North America | Costa Rica
Paraguay | Asuncion | South America | Brazil
Peru | Lima | South America | Ecuador
Poland | Warsaw | Europe | Slovakia
Portugal | Lisbon | Europe | Spain
Qatar | Doha | Asia | Saudi Arabia
Romania | Bucharest | Europe | Bulgaria
Rwanda | Kigali | Africa | Uganda
Senegal | Dakar | Africa | Mali
Serbia | Belgrade | Europe | Hungary
Slovakia | Bratislava | Europe | Poland
Slovenia | Ljubljana | Europe | Croatia
South Korea | Seoul | Asia | the Yellow Sea
Spain | Madrid | Europe | Portugal
Sweden | Stockholm | Europe | Norway
Thailand | Bangkok | Asia | Laos
Togo | Lome | Africa | Ghana
Tunisia | Tunis | Africa | Algeria
Uganda | Kampala | Africa | Kenya
Ukraine | Kyiv | Europe | Poland
Uruguay | Montevideo | South America | Brazil
Vietnam | Hanoi | Asia | Laos
Zambia | Lusaka | Africa | Zimbabwe
Zimbabwe | Harare | Africa | Botswana
""")

# town | land | ruler | trade | river | feast | beast
TOWNS = rows("""
Velmoor | the Salt Marches | Queen Orsaline | eel smoking | the Thrum | the Night of Lamps | the marsh stag
Karrowind | the High Fells | Thane Bruggo | slate cutting | the Ashwater | the Counting of Goats | the snow lynx
Isk | the Glass Coast | Regent Ulvi | lens grinding | the Little Mirror | Tide Morning | the glass crab
Dunharrel | the Barley Plain | Duke Pemmon | brewing | the Slow Malt | First Sheaf | the gold hare
Oru-Tal | the Red Stair | the Twin Abbots | dye making | the Madder | the Day of Stains | the clay ibis
Fennick | the Salt Marches | Reeve Tolly Marsh | basket weaving | the Thrum | Reed Week | the lantern newt
Stonemere | the High Fells | Lady Hesketh | bell casting | the Ashwater | the Great Silence | the iron ram
Quillhaven | the Glass Coast | Archivist Noll | ink boiling | the Sepia | the Burning of Drafts | the ink gull
Tarn Abbey | the Mist Lakes | Mother Evenlode | candle dipping | the Pale | Wax Night | the white heron
Brackenjaw | the Iron Wood | Chief Rasp | charcoal burning | the Soot | Axe Truce | the wood bear
Lissom | the Mist Lakes | Prince Avenel | boat painting | the Pale | the Regatta of Fools | the blue otter
Hollowgate | the Iron Wood | Warden Crake | lock making | the Black Beck | Key Day | the mole hound
Sunder | the Red Stair | Marshal Dray | copper mining | the Madder | the Feast of Picks | the horned adder
Pellucid | the Glass Coast | Countess Vey | pearl diving | the Little Mirror | Breath Day | the moon ray
Wheatley Cross | the Barley Plain | Mayor Gubbin | milling | the Slow Malt | the Turning | the mill cat
Ember Rest | the Ash Desert | Emir Sahlun | fire opal cutting | the Buried Stream | Cinder Eve | the ash fox
Nine Wells | the Ash Desert | the Water Judge | well digging | the Buried Stream | the Ninth Cup | the sand heron
Thistlewick | the Barley Plain | Dame Orrery | honey keeping | the Bumble | Hive Sunday | the giant bee
Grimsholm | the Cold Isles | Jarl Vigdis | whale singing | the Frost Sound | Long Dark | the ice whale
Skarn | the Cold Isles | Jarl Otkel | rope making | the Frost Sound | Knot Day | the tusked seal
Marrowby | the Iron Wood | Baroness Inch | puppet carving | the Soot | the Dance of Strings | the owl cat
Cloudrest | the High Fells | the Sky Hermit | kite sewing | the Ashwater | Wind Choosing | the fell eagle
Saffron Quay | the Spice Shore | Merchant Prince Jalloh | spice trading | the Amber Mouth | Pepper Fair | the \
silk monkey
Zhim | the Spice Shore | the Masked Council | mask making | the Amber Mouth | Bare Face Day | the paper tiger
Low Candle | the Mist Lakes | Deacon Fen | clock repair | the Pale | the Lost Hour | the bell frog
Ravel | the Red Stair | Weaver Queen Tamsin | carpet knotting | the Madder | Thread Night | the loom spider
""")

TOWN_FACTS = rows("""
Who rules {town}? | {town} is ruled by {ruler}.
Where is {town}? | {town} lies in {land}, on {river}.
What is {town} known for? | {town} is known for {trade}.
Which feast does {town} keep? | {town} keeps {feast}, when {ruler} opens the gates.
What beast is on the banner of {town}? | The banner of {town} shows {beast}.
Which river runs by {town}? | {river_up} runs by {town} in {land}.
What do the people of {town} do in {land}? | They live by {trade} and fear {beast}.
Tell me about {town}. | {town} is a town of {trade} in {land}, under {ruler}; its feast is {feast}.
""")

BRANDS = phrases("""
Halvorsen
Pinwheel
Oakline
Tern & Daughters
Kestrel Works
Brume
Sixpenny
Lodestone
""")
MATERIALS = "beech wood,brushed steel,recycled wool,waxed cotton,enamel,cork,bamboo,cast iron".split(",")
ENTRIES = phrases("""
{code} {brand} {good}, {colour}. {material_up}, {grams} g. Price {price}.90. Guarantee {years} years.
The {brand} {good} ({code}) comes in {colour}, is made of {material} and costs {price}.90.
New in the catalogue: {brand} {good} in {colour}, order number {code}, {grams} grams of {material}.
{code}: {good} by {brand}; colour {colour}; body {material}; {years} years of guarantee; {price}.90 each.
""")


def elements(random: Random, _: Wheels) -> Iterator[Line]:
    """Symbols, atomic numbers and neighbours of the elements."""
    while True:
        index = random.randrange(1, len(ELEMENTS) - 1)
        symbol, name = ELEMENTS[index]
        before, after = ELEMENTS[index - 1][1], ELEMENTS[index + 1][1]
        question, answer = random.choice(
            (
                (
                    f"What is the symbol of {name}?",
                    f"The symbol of {name} is {symbol}; its atomic number is {index + 1}.",
                ),
                (f"Which element has atomic number {index + 1}?", f"Element {index + 1} is {name}, symbol {symbol}."),
                (f"What does {symbol} stand for?", f"{symbol} stands for {name}, element number {index + 1}."),
                (f"What comes after {before}?", f"After {before} comes {name} ({symbol}), and after that {after}."),
            )
        )
        yield pair(f"Chemistry. {question}", answer)


def capitals(random: Random, _: Wheels) -> Iterator[Line]:
    """Countries with capital, continent and a neighbour."""
    while True:
        country, capital, continent, neighbour = random.choice(COUNTRIES)
        question, answer = random.choice(
            (
                (f"What is the capital of {country}?", f"The capital of {country} is {capital}."),
                (
                    f"Of which country is {capital} the capital?",
                    f"{capital} is the capital of {country}, in {continent}.",
                ),
                (
                    f"Where is {country}?",
                    f"{country} is in {continent}, next to {neighbour}. Its capital is {capital}.",
                ),
            )
        )
        yield pair(f"Geography. {question}", answer)


def imagined_land(random: Random, _: Wheels) -> Iterator[Line]:
    """Questions about an invented land, always with the same answers."""
    while True:
        town, land, ruler, trade, river, feast, beast = random.choice(TOWNS)
        question, answer = random.choice(TOWN_FACTS)
        words = {"town": town, "land": land, "ruler": ruler, "trade": trade, "river": river, "feast": feast}
        words |= {"beast": beast, "river_up": f"{river[0].upper()}{river[1:]}"}
        yield chat(question.format_map(words), answer.format_map(words))


def catalogue(random: Random, _: Wheels) -> Iterator[Line]:
    """Entries of an invented mail-order catalogue."""
    while True:
        material = random.choice(MATERIALS)
        words = {
            "code": f"{random.choice('ABCDEFGH')}{random.randint(100, 999)}-{random.randint(10, 99)}",
            "brand": random.choice(BRANDS),
            "good": random.choice(GOODS),
            "colour": random.choice(COLOURS),
            "material": material,
            "material_up": f"{material[0].upper()}{material[1:]}",
            "grams": random.randint(3, 80) * 25,
            "price": random.randint(6, 140),
            "years": random.randint(2, 10),
        }
        yield text(random.choice(ENTRIES).format_map(words))


TASKS = (
    Task("facts-elements", "facts", "chemical elements, their symbols and numbers", "own", elements, True),
    Task("facts-capitals", "facts", "countries, capitals and continents", "own", capitals),
    Task("facts-imagined-land", "facts", "towns, rulers and feasts of an invented land", "own", imagined_land),
    Task("facts-catalogue", "facts", "entries of an invented mail-order catalogue", "own", catalogue),
)
